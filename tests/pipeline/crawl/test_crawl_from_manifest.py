"""A manifest handed on: the very same images, or a entry that says why not."""

import dataclasses
import hashlib
import json
import tracemalloc

import pytest
from page_server import PageServer, entries_of, picture

from gan.errors import GanError
from pipeline.crawl.address_files import FromManifest, parse_entry
from pipeline.crawl.http.failure_reasons import NO_ADDRESS
from pipeline.crawl.image_check import ListedImage, PictureLimits, check_image
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.earlier_crawl import EarlierCrawl
from pipeline.crawl.storage.journal import JOURNAL, Journal
from pipeline.crawl.storage.writer import publish
from pipeline.dataset.layout import MANIFEST
from pipeline.dataset.manifest import ManifestEntry


@pytest.fixture
def site():
    with PageServer() as server:
        for shade in range(12):
            server.pages[f"p{shade}.png"] = picture(shade)
        yield server


def good_entry(url, data, **fields):
    listed = ListedImage(
        0, f"{url}/page", url, ("b", "a"), "general", "http://artist", "CC-BY-4.0"
    )
    return dataclasses.replace(check_image(listed, data, PictureLimits()), **fields)


def dead_entry(url, status, reason):
    return ManifestEntry("", url, ("ö",), "sensitive", "", "unknown", status, reason)


def their_dataset(site, folder):
    """Another person's dataset: written without this source, straight into the journal."""
    entries = [good_entry(site.url(f"p{number}.png"), picture(number)) for number in range(8)]
    entries[3:3] = [
        dead_entry(site.url("gone.png"), "gone", "HTTP 404"),
        dead_entry(site.url("late.png"), "failed", "timed out"),
        good_entry(site.url("p1.png?again"), picture(1)),
        dead_entry("file:///x", "blocked", "not an http or https address"),
        dead_entry(site.url("torn.png"), "bad", "damaged: broken data stream"),
        dead_entry(site.url("big.png"), "too_large", "over 5 bytes"),
    ]
    site.pages["p1.png?again"] = picture(1)
    contents = {
        entry.sha256: site.pages[entry.url.removeprefix(site.url())]
        for entry in entries
        if entry.sha256
    }
    with Journal(folder / "journal", {"source": "theirs"}) as journal:
        for position, entry in enumerate(entries):
            journal.add(position * 7, entry, contents.get(entry.sha256, b""))
        return publish(journal, {"source": "theirs"}, folder / "data", folder / "old")


def write_entries(path, entries):
    path.write_text("".join(f"{entry.to_json()}\n" for entry in entries))
    return path


def fetch_dataset(source, folder, known=None):
    with Journal(folder / "journal", source.identity, known) as journal:
        source.fetch(Sink(journal))
        return publish(journal, source.describe({}), folder / "data", folder / "old")


def test_a_complete_fetch_gives_the_very_same_manifest_and_shards(site, tmp_path):
    theirs = their_dataset(site, tmp_path / "theirs")
    source = FromManifest(theirs.folder / MANIFEST, site.policy())
    ours = fetch_dataset(source, tmp_path / "ours")
    assert (ours.folder / MANIFEST).read_bytes() == (theirs.folder / MANIFEST).read_bytes()
    assert ours.digest == theirs.digest
    assert ours.counts == theirs.counts
    assert source.total == sum(ours.counts.values()) == 14
    ours.verify()
    for name in ("gone.png", "late.png", "torn.png", "big.png"):
        assert site.asked[name] == 0


def test_another_file_is_bad_and_a_lost_one_gone_and_the_rest_is_kept(site, tmp_path):
    theirs = their_dataset(site, tmp_path / "theirs")
    site.pages["p2.png"], site.pages["p5.png"] = picture(99), 404
    ours = fetch_dataset(FromManifest(theirs.folder / MANIFEST, site.policy()), tmp_path / "ours")
    pairs = zip(theirs.entries(), ours.entries(), strict=True)
    changes = {a.url: b for a, b in pairs if a != b}
    bad, gone = changes.pop(site.url("p2.png")), changes.pop(site.url("p5.png"))
    assert not changes
    assert (bad.status, bad.sha256, bad.bytes) == ("bad", "", 0)
    assert "sha256" in bad.reason
    assert (gone.status, gone.reason) == ("gone", "HTTP 404")
    assert (bad.tags, bad.source, bad.licence) == (("b", "a"), "http://artist", "CC-BY-4.0")


def test_a_killed_fetch_resumes_and_requests_nothing_twice(site, tmp_path):
    theirs = their_dataset(site, tmp_path / "theirs")
    source = FromManifest(theirs.folder / MANIFEST, site.policy())
    site.pages["p6.png"] = 500
    entries = entries_of(source, tmp_path / "ours/journal")
    assert [entry.url for entry in entries if entry.status == "failed"] == [
        site.url("late.png"),
        site.url("p6.png"),
    ]
    assert (tmp_path / "ours/journal" / JOURNAL).read_text().count("/late.png") == 1
    site.pages["p6.png"] = picture(6)
    entries_of(source, tmp_path / "ours/journal")
    assert (tmp_path / "ours/journal" / JOURNAL).read_text().count("/late.png") == 1
    ours = fetch_dataset(source, tmp_path / "ours")
    assert ours.digest == theirs.digest
    assert site.asked["p0.png"] == 1
    assert site.asked["p6.png"] == 2


def test_a_complete_fetch_requests_nothing_again(site, tmp_path):
    theirs = their_dataset(site, tmp_path / "theirs")
    source = FromManifest(theirs.folder / MANIFEST, site.policy())
    ours = fetch_dataset(source, tmp_path / "ours")
    assert source.continues(ours)
    assert not source.continues(theirs)
    asked = dict(site.asked)
    again = fetch_dataset(source, tmp_path / "ours", EarlierCrawl(ours))
    assert again.digest == theirs.digest
    assert {path: n for path, n in site.asked.items() if path.endswith(".png")} == {
        path: n for path, n in asked.items() if path.endswith(".png")
    }


def test_entries_that_failed_elsewhere_are_copied_once(site, tmp_path):
    entries = [
        good_entry(site.url("p1.png"), picture(1)),
        dead_entry(site.url("late.png"), "failed", "timed out"),
    ]
    theirs = write_entries(tmp_path / "m.jsonl", entries)
    first = fetch_dataset(FromManifest(theirs, site.policy()), tmp_path)
    source = FromManifest(theirs, site.policy())
    with Journal(tmp_path / "again", source.identity, EarlierCrawl(first)) as journal:
        sink = Sink(journal)
        source.fetch(sink)
        assert len(journal) == 0
        assert not sink.counts["failed"]


def test_older_manifests_without_source_are_understood(site, tmp_path):
    entry = dataclasses.asdict(good_entry(site.url("p1.png"), picture(1)))
    lean = {"url": site.url("p2.png"), "status": "ok", "sha256": sha256(picture(2))}
    del entry["source"]
    path = tmp_path / "manifest.jsonl"
    path.write_text(f"{json.dumps(entry)}\n\n{json.dumps(lean)}\n")
    first, second = entries_of(FromManifest(path, site.policy()), tmp_path / "journal")
    assert (first.status, first.source, first.tags) == ("ok", "", ("b", "a"))
    assert (second.status, second.width, second.format) == ("ok", 8, "PNG")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


GOOD = {"url": "http://a/b.png", "status": "ok", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (b"not json", "JSON"),
        (b"\xff\xfe\x00", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[1]", "url and status"),
        (b'{"url": "http://a"}', "url and status"),
        ({"status": "fine"}, "status = 'fine'"),
        ({"sha256": ""}, "sha256 = ''"),
        ({"sha256": "F" * 64}, "sha256 = 'FFFF"),
        ({"status": "gone"}, "status gone"),
        ({"url": 5}, "url = 5"),
        ({"bytes": True}, "bytes = True"),
        ({"tags": "a b"}, "tags = 'a b'"),
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
        entries_of(FromManifest(path, site.policy()), tmp_path / "journal")
    assert str(caught.value).startswith(f"{path}:2: ")
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not site.asked


def test_entries_that_are_not_on_the_web_are_blocked(site, tmp_path):
    entries = [
        good_entry("archive:x/1.png", picture(1)),
        good_entry(site.url("p2.png"), picture(2)),
        good_entry("gallery:/p3.png", picture(3)),
        good_entry("http://10.0.0.1/p4.png", picture(4)),
    ]
    source = FromManifest(write_entries(tmp_path / "m.jsonl", entries), site.policy())
    found = entries_of(source, tmp_path / "journal")
    assert [entry.status for entry in found] == ["blocked", "ok", "blocked", "blocked"]
    assert found[0].reason == NO_ADDRESS


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        (["gallery:/1.jpg", "gallery:/2.jpg"], "gan scrape --source embedded"),
        (["archive:1.jpg"], r"m\.jsonl"),
        ([], r"m\.jsonl"),
    ],
)
def test_a_manifest_with_nothing_to_fetch_is_an_error(site, tmp_path, urls, message):
    entries = [good_entry(url, picture(1)) for url in urls]
    entries += [dead_entry("http://a/b.png", "gone", "HTTP 404")]
    path = write_entries(tmp_path / "m.jsonl", entries)
    with pytest.raises(GanError, match=message):
        entries_of(FromManifest(path, site.policy()), tmp_path / "journal")


def test_an_address_that_comes_again_has_one_entry(site, tmp_path, capsys):
    entry = good_entry(site.url("p1.png"), picture(1))
    path = write_entries(tmp_path / "m.jsonl", [entry, entry])
    source = FromManifest(path, site.policy())
    assert entries_of(source, tmp_path / "journal") == [entry]
    assert source.total == 1
    assert "1 left out: addresses named again" in capsys.readouterr().err


def test_the_identity_is_of_the_content_and_names_no_folder(site, tmp_path):
    entry = good_entry(site.url("p1.png"), picture(1))
    one, two = (FromManifest(tmp_path / name, site.policy()) for name in ("one", "two"))
    write_entries(one.path, [entry])
    write_entries(two.path, [entry])
    assert one.identity == two.identity
    assert one.identity["source"] == f"manifest:{sha256(one.path.read_bytes())[:12]}"
    assert str(tmp_path) not in str(one.identity)


def test_every_entry_that_is_written_is_parsed_to_itself():
    entry = good_entry("http://a/\ud800\u2028.png", picture(1), tags=("\x1b", "日本"))
    assert parse_entry(entry.to_json().encode()) == entry
    dead = dead_entry("", "blocked", "not an http or https address")
    assert parse_entry(dead.to_json().encode()) == dead


@pytest.mark.slow
def test_a_long_manifest_is_surveyed_in_little_memory(site, tmp_path):
    entry = good_entry("http://site.example/x", picture(1))
    path = tmp_path / "m.jsonl"
    with path.open("w") as stream:
        for number in range(10_000):
            again = dataclasses.replace(entry, url=f"http://site.example/{number}/full.png")
            stream.write(f"{again.to_json()}\n")
    tracemalloc.start()
    try:
        assert FromManifest(path, site.policy()).total == 10_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000 * 250 + 2**18
