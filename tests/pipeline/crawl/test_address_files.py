"""Lists and manifests: what is read, in which order, what is refused, and the very same images."""

import dataclasses
import hashlib
import json
import tracemalloc

import pytest
from local_server import entries_of, fetch_dataset, picture

from gan.errors import GanError
from pipeline.crawl.address_files import FromManifest, UrlList, parse_entry
from pipeline.crawl.http.engine import crawl
from pipeline.crawl.http.failure_reasons import NO_ADDRESS
from pipeline.crawl.http.listing import Listing
from pipeline.crawl.http.spider import AHEAD
from pipeline.crawl.image_check import ListedImage, PictureLimits, check_image
from pipeline.crawl.request import ScrapeRequest
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.earlier_crawl import EarlierCrawl
from pipeline.crawl.storage.journal import JOURNAL, Journal
from pipeline.crawl.storage.writer import publish
from pipeline.dataset.layout import MANIFEST
from pipeline.dataset.manifest import ManifestEntry


def url_list(site, path, limit=None, **policy):
    request = ScrapeRequest(licence="CC0-1.0", limit=limit)
    return UrlList(path, request, site.policy(**policy))


def from_manifest(site, path):
    return FromManifest(path, ScrapeRequest(), site.policy())


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_a_text_gives_an_entry_for_each_address_in_its_order(site, tmp_path, capsys):
    none = ["no address", "ftp://127.0.0.1/x.png", "file:///etc/passwd", "http://[::bad/x.png#a"]
    two, one, gone, three = map(site.url, ("p2.png", "p1.png", "gone.png", "p3.png"))
    lines = ["# pictures", "", f"\t{two}", f"  {one}#part\t", two, "   # more", gone, *none, three]
    path = write(tmp_path / "list.txt", "\ufeff" + "\r\n".join(lines))
    limited = url_list(site, path, limit=2)
    urls = [entry.url for entry in entries_of(limited, tmp_path / "limited")]
    assert (urls, limited.total, site.asked["gone.png"]) == ([two, one], 2, 0)
    source = url_list(site, path)
    entries = entries_of(source, tmp_path / "journal")
    assert [(entry.url, entry.status) for entry in entries] == [
        (two, "ok"),
        (one, "ok"),
        (gone, "gone"),
        *((url, "blocked") for url in none),
        (three, "ok"),
    ]
    assert entries[3].reason == NO_ADDRESS
    assert (entries[0].licence, entries[0].page) == ("CC0-1.0", two)
    assert source.total == len(entries)
    assert site.asked["p2.png"] == 2
    assert "1 left out: addresses named again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "separator", "encoding"),
    [
        ("list.csv", ",", "utf-8"),
        ("list.csv", ";", "utf-8-sig"),
        ("list.txt", "\t", "utf-16"),
    ],
)
def test_a_table_fills_the_entries_from_its_columns(site, tmp_path, name, separator, encoding):
    url = site.url("p1.png")
    right, wrong = sha256(picture(1)), "0" * 64
    table = [
        ["Tags", "extra", " URL ", "rating", "page", "source", "licence", "sha256"],
        ["a|b c a", "x", f'"{url}"', "g", "http://site/1", '"by ""her"""', "CC-BY-4.0", right],
        ["", "", site.url("p2.png"), "", "", "", "", wrong.upper()],
        ["only a tag"],
        [""],
        ["", "", site.url("p3.png")],
    ]
    text = "".join(separator.join(entry) + "\r\n" for entry in table)
    first, second, third = entries_of(
        url_list(site, write(tmp_path / name, text, encoding)), tmp_path / "journal"
    )
    assert (first.status, first.sha256, first.url) == ("ok", right, url)
    assert (first.tags, first.rating, first.page) == (("a", "b", "c"), "general", "http://site/1")
    assert (first.source, first.licence) == ('by "her"', "CC-BY-4.0")
    assert (second.status, second.licence, second.tags) == ("bad", "CC0-1.0", ())
    assert "sha256" in second.reason
    assert (third.status, third.page) == ("ok", site.url("p3.png"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", b"link,tags\nhttp://a/b.png,x\n", "addresses are in link: rename one"),
        (
            "list.csv",
            b"id,sample_url,preview_url,tags\n1,//a/b.png,//a/c.png,x\n",
            "sample_url and preview_url",
        ),
        ("list.txt", b"http://a/b.png\nhttp://a/c.png\tc.png\n", ":2: "),
        ("list.txt", b"http://a/b.png\n  out=b.png\n", ":2: 'out=b.png'"),
        ("list.txt", b'"http://a/b.png"\n', ":1: "),
        ("list.json", b'[\n  "http://a/b.png"\n]\n', ":1: "),
        ("list.jsonl", b'{"url": "http://a/b.png"}\n', ":1: "),
        ("list.txt", b"# nothing\n\n", "address"),
        ("list.txt", b"http://a/b.png\n" * 9000 + b"\xff", "UTF-8"),
        ("list.txt", b"http://a/b.png\nab\0cd\n", ":2: not UTF-8"),
        ("list.csv", "url,tags\nhttp://a/b.png,x\n".encode("utf-16-be"), "(UTF-16?)"),
        ("list.csv", b"url,sha256\nhttp://a/b.png,abc\n", ":2: sha256 'abc'"),
        ("list.csv", b'url,tags\nhttp://a/b.png,"open\n' + b"http://a/c.png,\n", ":3: "),
        ("list.csv", b"url,url\nhttp://a,http://b\n", "url"),
        ("none.txt", None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_list_is_refused_in_one_line_before_any_request(
    site, tmp_path, name, content, message
):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(GanError) as caught:
        entries_of(url_list(site, tmp_path / name), tmp_path / "journal")
    assert message in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not site.asked


def test_the_identity_is_of_the_content_and_names_no_folder(site, tmp_path):
    entry = good_entry(site.url("p1.png"), picture(1)).to_json()
    for make, line in ((url_list, site.url("p1.png")), (from_manifest, entry)):
        one, two, other = (
            make(site, write(tmp_path / folder / "list.txt", text))
            for folder, text in (("a", line), ("b", line), ("c", f"{line}\n"))
        )
        assert one.identity == two.identity != other.identity
        assert one.identity["sha256"] == sha256(line.encode())
        assert str(tmp_path) not in str(one.identity)


def test_a_longer_list_adds_to_the_dataset_of_the_shorter_one(site, tmp_path):
    path = write(tmp_path / "list.txt", site.url("p1.png"))
    dataset = fetch_dataset(url_list(site, path), tmp_path / "one")
    write(path, f"{site.url('p2.png')}\n{site.url('p1.png')}")
    longer = url_list(site, path)
    assert longer.continues(dataset)
    other = UrlList(path, ScrapeRequest(licence="other"), site.policy())
    assert not other.continues(dataset)
    assert not url_list(site, write(tmp_path / "x.txt", "http://a/b")).continues(dataset)
    grown = fetch_dataset(longer, tmp_path / "two", EarlierCrawl(dataset))
    assert [entry.url for entry in grown.entries()] == [site.url("p1.png"), site.url("p2.png")]
    assert site.asked["p1.png"] == 1


def test_addresses_are_read_only_as_fast_as_they_are_fetched(site, tmp_path):
    drawn, furthest = 0, 0

    def images(journal):
        nonlocal drawn, furthest
        for drawn in range(1, 151):
            furthest = max(furthest, drawn - len(journal))
            yield ListedImage(drawn, "", site.url(f"p.png?{drawn}"))

    with Journal(tmp_path, {}) as journal:
        crawl(Listing(images(journal)), Sink(journal), site.policy(connections=2))
        assert len(journal) == drawn == 150
    assert furthest <= 2 * AHEAD + 1


def good_entry(url, data, **fields):
    origin = (f"{url}/page", url, ("b", "a"), "general", "http://artist", "CC-BY-4.0")
    checked = check_image(ListedImage(0, *origin), data, PictureLimits())
    return dataclasses.replace(checked, **fields)


def dead_entry(url, status, reason):
    return ManifestEntry("", url, ("ö",), "sensitive", "", "unknown", status, reason)


@pytest.fixture
def theirs(site, tmp_path):
    """Another person's dataset: written without this source, straight into the journal."""
    entries = [good_entry(site.url(f"p{number}.png"), picture(number)) for number in range(8)]
    entries[3:3] = [
        dead_entry(site.url("gone.png"), "gone", "HTTP 404"),
        dead_entry(site.url("late.png"), "failed", "timed out"),
        good_entry(site.url("p1.png?again"), picture(1)),
        dead_entry("file:///x", "blocked", "not an http or https address"),
        dead_entry(site.url("big.png"), "too_large", "over 5 bytes"),
    ]
    site.pages["p1.png?again"] = picture(1)
    folder = tmp_path / "theirs"
    with Journal(folder / "journal", {"source": "theirs"}) as journal:
        for position, entry in enumerate(entries):
            data = site.pages.get(entry.url.removeprefix(site.url()), b"")
            journal.add(position * 7, entry, data)
        return publish(journal, lambda _: {"source": "theirs"}, folder / "data", folder / "old")


@pytest.fixture
def source(site, theirs):
    return from_manifest(site, theirs.folder / MANIFEST)


def write_entries(path, entries):
    return write(path, "".join(f"{entry.to_json()}\n" for entry in entries))


def test_a_complete_fetch_gives_the_same_manifest_and_shards_and_requests_nothing_again(
    site, tmp_path, theirs, source
):
    ours = fetch_dataset(source, tmp_path / "ours")
    assert (ours.folder / MANIFEST).read_bytes() == (theirs.folder / MANIFEST).read_bytes()
    assert (ours.digest, ours.counts) == (theirs.digest, theirs.counts)
    assert source.total == sum(ours.counts.values()) == 13
    ours.verify()
    asked = {path: n for path, n in site.asked.items() if ".png" in path}
    assert set(asked) == {*(f"p{number}.png" for number in range(8)), "p1.png?again"}
    assert source.continues(ours)
    assert not source.continues(theirs)
    again = fetch_dataset(source, tmp_path / "ours", EarlierCrawl(ours))
    assert again.digest == theirs.digest
    assert {path: n for path, n in site.asked.items() if ".png" in path} == asked


def test_another_file_is_bad_and_a_lost_one_gone_and_the_rest_is_kept(
    site, tmp_path, theirs, source
):
    site.pages["p2.png"], site.pages["p5.png"] = picture(99), 404
    ours = fetch_dataset(source, tmp_path / "ours")
    pairs = zip(theirs.entries(), ours.entries(), strict=True)
    changes = {a.url: b for a, b in pairs if a != b}
    bad, gone = changes.pop(site.url("p2.png")), changes.pop(site.url("p5.png"))
    assert not changes
    assert (bad.status, bad.sha256, bad.bytes) == ("bad", "", 0)
    assert "sha256" in bad.reason
    assert (gone.status, gone.reason) == ("gone", "HTTP 404")
    assert (bad.tags, bad.source, bad.licence) == (("b", "a"), "http://artist", "CC-BY-4.0")


def test_a_killed_fetch_resumes_and_requests_nothing_twice(site, tmp_path, theirs, source):
    site.pages["p6.png"] = 500
    entries = entries_of(source, tmp_path / "ours/journal")
    failed = [entry.url for entry in entries if entry.status == "failed"]
    assert failed == [site.url("late.png"), site.url("p6.png")]
    site.pages["p6.png"] = picture(6)
    entries_of(source, tmp_path / "ours/journal")
    assert (tmp_path / "ours/journal" / JOURNAL).read_text().count("/late.png") == 1
    ours = fetch_dataset(source, tmp_path / "ours")
    assert ours.digest == theirs.digest
    assert (site.asked["p0.png"], site.asked["p6.png"]) == (1, 2)
    with Journal(tmp_path / "again", source.identity, EarlierCrawl(ours)) as journal:
        source.fetch(sink := Sink(journal))
        assert len(journal) == sink.counts["failed"] == 0


GOOD = {"url": "http://a/b.png", "status": "ok", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (b"\xff\xfe\x00", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[1]", "url and status"),
        ({"status": "fine"}, "status = 'fine'"),
        ({"sha256": "F" * 64}, "sha256 = 'FFFF"),
        ({"status": "gone"}, "status gone"),
        ({"bytes": True}, "bytes = True"),
        ({"tags": [1]}, "tags"),
        ({"path": "/x"}, "'path'"),
        ({"reason": "\x1b[2J"}, "reason"),
    ],
)
def test_a_wrong_line_is_named_before_any_request(site, tmp_path, line, named):
    text = line if isinstance(line, bytes) else json.dumps({**GOOD, **line}).encode()
    path = tmp_path / "manifest.jsonl"
    whole = good_entry(site.url("p1.png"), picture(1)).to_json().encode()
    path.write_bytes(whole + b"\n" + text + b"\n")
    with pytest.raises(GanError) as caught:
        entries_of(from_manifest(site, path), tmp_path / "journal")
    assert str(caught.value).startswith(f"{path}:2: ")
    assert named in str(caught.value)
    assert not site.asked


def test_entries_that_are_not_on_the_web_are_blocked_and_repeated_ones_left_out(
    site, tmp_path, capsys
):
    urls = ["archive:x/1.png", site.url("p2.png"), "gallery:/p3.png", "http://10.0.0.1/p4.png"]
    entries = [good_entry(url, picture(2)) for url in [*urls, urls[1]]]
    source = from_manifest(site, write_entries(tmp_path / "m.jsonl", entries))
    found = entries_of(source, tmp_path / "journal")
    assert [entry.status for entry in found] == ["blocked", "ok", "blocked", "blocked"]
    assert found[0].reason == NO_ADDRESS
    assert source.total == 4
    assert "1 left out: addresses named again" in capsys.readouterr().err
    for url, advice in (
        (urls[2], "gan scrape --source embedded"),
        (urls[0], "no picture with an"),
    ):
        entries = [good_entry(url, picture(1)), dead_entry("http://a/b.png", "gone", "HTTP 404")]
        path = write_entries(tmp_path / "none.jsonl", entries)
        with pytest.raises(GanError, match=rf"none\.jsonl: .*{advice}"):
            entries_of(from_manifest(site, path), tmp_path / "none")


def test_an_entry_is_parsed_to_itself_and_one_of_an_older_manifest_to_its_defaults():
    entry = good_entry("http://a/\ud800\u2028.png", picture(1), tags=("\x1b", "日本"))
    assert parse_entry(entry.to_json().encode()) == entry
    older = {name: value for name, value in entry.to_dict().items() if name != "source"}
    assert parse_entry(json.dumps(older).encode()) == dataclasses.replace(entry, source="")
    dead = dead_entry("", "blocked", "not an http or https address")
    assert parse_entry(dead.to_json().encode()) == dead
    lean = parse_entry(json.dumps(GOOD).encode())
    assert (lean.url, lean.tags, lean.licence, lean.width) == (GOOD["url"], (), "", 0)


@pytest.mark.slow
def test_a_long_file_is_surveyed_in_little_memory(site, tmp_path):
    entry = good_entry("", picture(1))
    urls = (f"http://site.example/pictures/{number:08}/full.png" for number in range(10_000))
    lines = (dataclasses.replace(entry, url=url).to_json() for url in urls)
    source = from_manifest(site, write(tmp_path / "file", "\n".join(lines)))
    tracemalloc.start()
    try:
        assert source.total == 10_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # sixteen bytes stand for an address; as objects of a set they take about a hundred
    assert peak < 10_000 * 250 + 2**18


def test_entries_that_earlier_versions_judged_wrongly_are_asked_for_again(site, tmp_path):
    path = write(tmp_path / "list.txt", "\n".join(site.url(f"p{n}.png") for n in range(4)))
    source = url_list(site, path)
    reasons = (
        "no JPEG, PNG, WebP or GIF",
        "damaged: Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK",
        "damaged: image file is truncated (7 bytes not processed)",
    )
    with Journal(tmp_path / "before", source.identity) as journal:
        sink = Sink(journal)
        for number, reason in enumerate(reasons):
            listed = ListedImage(number, "page", site.url(f"p{number}.png"))
            sink.reject(listed, "bad", reason)
        data = picture(3)
        listed = ListedImage(3, "page", site.url("p3.png"))
        sink.add(listed, sink.check(listed, data), data)
        dataset = publish(journal, source.describe, tmp_path / "data", tmp_path / "old")
    earlier = EarlierCrawl(dataset)
    assert earlier.unsettled == {"bad": 2}
    new = fetch_dataset(source, tmp_path / "again", earlier)
    assert [entry.status for entry in new.entries()] == ["ok", "ok", "bad", "ok"]
    assert {path for path in site.asked if "png" in path} == {"p0.png", "p1.png"}


def test_columns_have_other_names_too_and_those_that_are_not_used_are_named(
    site, tmp_path, capsys
):
    place = f"//{site.place}/p2.png"
    text = f"url,license,rating,tag_string,score\n{site.url('p1.png')},CC0,s,a b,7\n{place},,,,\n"
    one, two = entries_of(url_list(site, write(tmp_path / "l.csv", text)), tmp_path / "journal")
    assert (one.licence, one.rating, one.tags) == ("CC0", "sensitive", ("a", "b"))
    assert (two.url, two.licence) == (f"https:{place}", "CC0-1.0")
    said = capsys.readouterr().err
    assert "1 left out: columns that are not used: score" in said


def test_the_first_address_that_is_none_is_shown_with_its_line(site, tmp_path, capsys):
    text = f"url,tags\n{site.url('p1.png')},\nftp://a/b.png,x\nc.png,\n"
    entries = entries_of(url_list(site, write(tmp_path / "l.csv", text)), tmp_path / "journal")
    assert [entry.status for entry in entries] == ["ok", "blocked", "blocked"]
    said = capsys.readouterr().err
    assert "l.csv: 2 not of http or https, the first in line 3: ftp://a/b.png" in said
