"""Lists of addresses, as text and as tables: what is read, in which order, and what is refused."""

import hashlib
import tracemalloc

import pytest
from page_server import PageServer, entries_of, picture

from gan.errors import GanError
from pipeline.crawl.address_files import UrlList
from pipeline.crawl.http.engine import fetch_images
from pipeline.crawl.http.failure_reasons import NO_ADDRESS
from pipeline.crawl.http.spider import AHEAD
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.earlier_crawl import EarlierCrawl
from pipeline.crawl.storage.journal import Journal
from pipeline.crawl.storage.writer import publish
from pipeline.dataset.reader import Dataset

UTF_16 = "(UTF-16?)"


@pytest.fixture
def site():
    with PageServer() as server:
        for shade in range(30):
            server.pages[f"p{shade}.png"] = picture(shade)
        yield server


def url_list(site, path, limit=None, **policy):
    return UrlList(path, site.policy(**policy), "CC0-1.0", limit)


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_a_text_gives_an_entry_for_each_address_in_its_order(site, tmp_path, capsys):
    lines = [
        "# pictures",
        "",
        site.url("p2.png"),
        f"  {site.url('p1.png#part')}\t",
        "   # more",
        site.url("gone.png"),
        "no address",
        "ftp://127.0.0.1/x.png",
        "file:///etc/passwd",
        "http://[::bad/x.png",
        "http://127.0.0.1:999999/x.png",
        site.url("p2.png"),
        site.url("p3.png"),
    ]
    path = write(tmp_path / "list.txt", "\ufeff" + "\r\n".join(lines))
    source = url_list(site, path)
    entries = entries_of(source, tmp_path / "journal")
    assert [(entry.url, entry.status) for entry in entries] == [
        (site.url("p2.png"), "ok"),
        (site.url("p1.png"), "ok"),
        (site.url("gone.png"), "gone"),
        ("no address", "blocked"),
        ("ftp://127.0.0.1/x.png", "blocked"),
        ("file:///etc/passwd", "blocked"),
        ("http://[::bad/x.png", "blocked"),
        ("http://127.0.0.1:999999/x.png", "blocked"),
        (site.url("p3.png"), "ok"),
    ]
    assert entries[3].reason == NO_ADDRESS
    assert {entry.licence for entry in entries} == {"CC0-1.0"}
    assert entries[0].page == entries[0].url
    assert source.total == len(entries)
    assert site.asked["p2.png"] == 1
    assert "1 left out: addresses named again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "separator", "encoding"),
    [
        ("list.csv", ",", "utf-8"),
        ("list.csv", ";", "utf-8-sig"),
        ("list.tsv", "\t", "utf-8"),
        ("list.txt", "\t", "utf-16"),
        ("list", ",", "utf-8"),
    ],
)
def test_a_table_fills_the_entries_from_its_columns(site, tmp_path, name, separator, encoding):
    url = site.url("p1.png")
    right, wrong = hashlib.sha256(picture(1)).hexdigest(), "0" * 64
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
    assert (first.tags, first.rating, first.page) == (("a", "b", "c"), "g", "http://site/1")
    assert (first.source, first.licence) == ('by "her"', "CC-BY-4.0")
    assert (second.status, second.licence, second.tags) == ("bad", "CC0-1.0", ())
    assert "sha256" in second.reason
    assert (third.status, third.page) == ("ok", site.url("p3.png"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", b"link,tags\nhttp://a/b.png,x\n", "`url`"),
        ("list.csv", b"http://a/b.png\n", "`url`"),
        ("list.tsv", b"", "`url`"),
        ("list.txt", b"", "address"),
        ("list.txt", b"# nothing\n\n", "address"),
        ("list.csv", b"url,tags\n,,\n", "address"),
        ("list.txt", b"http://a/\xe9.png\n", "UTF-8"),
        ("list.txt", b"http://a/b.png\n" * 9000 + b"\xff", "UTF-8"),
        ("list.txt", b"http://a/b.png\nab\0cd\n", ":2: not UTF-8"),
        ("list.txt", "http://a/b.png\n".encode("utf-16-le"), UTF_16),
        ("list.txt", "http://a/b.png\n".encode("utf-16-be"), UTF_16),
        ("list.txt", "http://a/b.png\n".encode("utf-32"), UTF_16),
        ("list.csv", "url,tags\nhttp://a/b.png,x\n".encode("utf-16-le"), UTF_16),
        ("list.txt", "http://a/絵é.png\n".encode("utf-16-le"), UTF_16),
        ("list.txt", "http://a/b.png\n".encode("utf-16")[:-1], UTF_16),
        ("list.csv", b"url,sha256\nhttp://a/b.png,abc\n", ":2: sha256 'abc'"),
        ("list.csv", b'url,tags\nhttp://a/b.png,"open\n' + b"http://a/c.png,\n", ":3: "),
        ("list.csv", b"url,url\nhttp://a,http://b\n", "url"),
        ("list.csv", b"url\n" + b"x" * 200_000, ":2: field"),
    ],
)
def test_a_file_that_is_no_list_is_refused_in_one_line_before_any_request(
    site, tmp_path, name, content, message
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GanError) as caught:
        entries_of(url_list(site, tmp_path / name), tmp_path / "journal")
    assert message in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not site.asked


def test_a_missing_file_and_a_folder_are_refused(site, tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(GanError, match="cannot be read"):
            entries_of(url_list(site, path), tmp_path / "journal")


def test_the_limit_counts_distinct_addresses(site, tmp_path):
    lines = [site.url(f"p{number}.png") for number in (4, 4, 2, 9, 5)]
    source = url_list(site, write(tmp_path / "list.txt", "\n".join(lines)), limit=3)
    entries = entries_of(source, tmp_path / "journal")
    assert [entry.url for entry in entries] == [lines[0], lines[2], lines[3]]
    assert source.total == 3
    assert site.asked["p5.png"] == 0


def test_the_identity_is_of_the_content_and_names_no_folder(site, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "list.txt", site.url("p1.png"))
    one, two = (url_list(site, tmp_path / folder / "list.txt") for folder in ("a", "b"))
    assert one.identity == two.identity
    assert str(tmp_path) not in str(one.identity)
    write(tmp_path / "b" / "list.txt", site.url("p2.png"))
    assert url_list(site, tmp_path / "b" / "list.txt").identity != one.identity


def test_a_longer_list_adds_to_the_dataset_of_the_shorter_one(site, tmp_path):
    path = write(tmp_path / "list.txt", site.url("p1.png"))
    source = url_list(site, path)
    with Journal(tmp_path / "one", source.identity) as journal:
        source.fetch(Sink(journal))
        publish(journal, source.describe({"ok": 1}), tmp_path / "data", tmp_path / "old")
    dataset = Dataset.open(tmp_path / "data")
    write(path, f"{site.url('p2.png')}\n{site.url('p1.png')}")
    longer = url_list(site, path)
    assert longer.continues(dataset)
    assert not UrlList(path, site.policy(), "other", None).continues(dataset)
    assert not url_list(site, write(tmp_path / "x.txt", "http://a/b")).continues(dataset)
    with Journal(tmp_path / "two", longer.identity, EarlierCrawl(dataset)) as journal:
        longer.fetch(Sink(journal))
        grown = publish(journal, longer.describe({}), tmp_path / "data", tmp_path / "old")
    assert [entry.url for entry in grown.entries()] == [site.url("p1.png"), site.url("p2.png")]
    assert site.asked["p1.png"] == 1


def test_a_list_that_changes_while_it_is_read_is_not_taken_for_whole(site, tmp_path):
    path = write(tmp_path / "list.txt", site.url("p1.png"))
    source = url_list(site, path)
    assert source.total == 1
    path.unlink()
    with pytest.raises(OSError, match=r"list\.txt"):
        entries_of(source, tmp_path / "journal")


def test_addresses_are_read_only_as_fast_as_they_are_fetched(site, tmp_path):
    drawn, furthest = 0, 0

    def images(journal):
        nonlocal drawn, furthest
        for drawn in range(1, 151):
            furthest = max(furthest, drawn - len(journal))
            yield ListedImage(drawn, "", site.url(f"p.png?{drawn}"))

    with Journal(tmp_path, {}) as journal:
        fetch_images(images(journal), Sink(journal), site.policy(connections=2))
        assert len(journal) == drawn == 150
    assert furthest <= 2 * AHEAD + 1


@pytest.mark.slow
def test_a_long_list_is_surveyed_in_little_memory(site, tmp_path):
    lines = (f"http://site.example/pictures/{number:08}/full.png\n" for number in range(20_000))
    source = url_list(site, write(tmp_path / "list.txt", "".join(lines)))
    tracemalloc.start()
    try:
        assert source.total == 20_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # sixteen bytes stand for an address; as objects of a set they take about a hundred
    assert peak < 20_000 * 250 + 2**18
