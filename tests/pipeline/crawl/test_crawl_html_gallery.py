"""Galleries of HTML pages on a real server: what selectors find, in which order, and how many."""

import pytest
from local_server import entries_of, picture
from scrapy import Request
from scrapy.http import HtmlResponse

from gan.errors import GanError
from pipeline.crawl.html.page import HtmlPage
from pipeline.crawl.html.source import MAX_BARREN_PAGES, HtmlGallery
from pipeline.crawl.http.referer import Referer
from pipeline.crawl.http.spider import ListingError
from pipeline.crawl.request import ScrapeRequest
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.journal import Journal


def gallery(site, start="", image="img", next="", link="", limit=None, tags="", **policy):
    options = ScrapeRequest(image=image, next=next, link=link, limit=limit, tags=tags)
    return HtmlGallery(site.url(start), options, site.policy(**policy))


def names(entries):
    return [entry.url.rpartition("/")[2] for entry in entries]


def images(numbers):
    return "".join(f"<img src=/p{number}.png>" for number in numbers)


def list_posts(site, pages, images_a_post=1):
    """pages[i] = numbers of the posts on listing page i; each post shows as many pictures."""
    for index, numbers in enumerate(pages):
        links = "".join(f"<a class=post href=/post/{number}>x</a>" for number in numbers)
        more = f"<a class=next href=/list?page={index + 1}>" if index + 1 < len(pages) else ""
        site.pages[f"list?page={index}"] = links + more
        for number in numbers:
            first = number * images_a_post
            site.pages[f"post/{number}"] = images(range(first, first + images_a_post))


def test_each_image_is_requested_once_and_gets_an_entry_in_the_order_of_the_listing(
    site, tmp_path
):
    site.pages["p1.png"] = 500
    site.pages["list"] = f"<base href='/deep/'>{images([3, 1])}<a class=n href='../list2#top'>"
    site.pages["list2"] = "<a class=n href=list3></a><img src=p7.png#x><img src=p1.png>"
    site.pages["list3"] = images([2, 99])
    entries = entries_of(gallery(site, "list", next="a.n"), tmp_path)
    assert names(entries) == ["p3.png", "p1.png", "p7.png", "p2.png", "p99.png"]
    assert [entry.status for entry in entries] == ["ok", "failed", "ok", "ok", "gone"]
    assert [entry.page for entry in entries] == [
        site.url(page) for page in ("list", "list", "list2", "list3", "list3")
    ]
    assert {entry.licence for entry in entries} == {"unknown"}
    assert site.asked["p1.png"] == 1


def test_a_pager_that_links_backwards_too_leads_forwards_and_ends(site, tmp_path):
    pager = "".join(f"<a class=pager href=/list?page={page}>{page}</a>" for page in range(3))
    for page in range(3):
        site.pages[f"list?page={page}"] = images([page]) + pager
    entries = entries_of(gallery(site, "list?page=0", next=".pager"), tmp_path)
    assert names(entries) == ["p0.png", "p1.png", "p2.png"]
    assert {site.asked[f"list?page={page}"] for page in range(3)} == {1}


def test_an_endless_listing_without_anything_new_ends(site, tmp_path):
    for page in range(MAX_BARREN_PAGES + 10):
        site.pages[f"list?page={page}"] = images([0]) + f"<a rel=next href=/list?page={page + 1}>"
    entries = entries_of(gallery(site, "list?page=0", next="[rel=next]"), tmp_path)
    assert names(entries) == ["p0.png"]
    assert site.asked[f"list?page={MAX_BARREN_PAGES}"] == 1
    assert site.asked[f"list?page={MAX_BARREN_PAGES + 1}"] == 0


@pytest.mark.parametrize(
    ("html", "selector", "expected"),
    [
        ("<img src=s.png data-src=d.png srcset='a.png 1x, b.png 2x'>", "img", "b.png"),
        ("<img src=s.png srcset='w,1.png, w,2.png 1.5x'>", "img", "w,2.png"),
        ("<img src='data:image/gif;base64,AA' data-src=d.png>", "img", "d.png"),
        ("<img src=/blank.gif data-original=d.png>", "img", "d.png"),
        ("<img src=/blank.gif data-lazy-src=d.png>", "img", "d.png"),
        ("<img srcset='blank.gif 1x' data-srcset='c.png 1x, d.png 2x'>", "img", "d.png"),
        ("<img src=/blank.gif data-echo=d.png>", "img", "d.png"),
        ("<div style='color: red; background-image:url(\"d.png\")'>", "div", "d.png"),
        ("<div style='background: url( d.png ) no-repeat'>", "div", "d.png"),
        ("<img src=s.png srcset='data:image/gif;base64,AA 2x'>", "img", "s.png"),
        ("<a href=full.png><img src=thumb.png></a>", "a:has(img)::attr(href)", "full.png"),
        ("<meta property='og:image' content='m.png'>", "meta[property='og:image']", "m.png"),
        ("<img srcset='a.png 1x, b.png 2x'>", "img::attr(srcset)", "b.png"),
        ("<p>t.png</p>", "p::text", "t.png"),
        ("<img src='a b.png'>", "img", "a%20b.png"),
        ("<img src='?id=1&amp;x=2#frag'>", "img", "list?id=1&x=2"),
        ("<img src='//cdn.example/i.png'>", "img", "http://cdn.example/i.png"),
        ("<img src='#'>", "img", ""),
        ("<div>", "div", ""),
    ],
)
def test_a_selector_takes_the_best_address_of_each_match(html, selector, expected):
    answer = HtmlResponse("http://site.example/list", body=html.encode(), encoding="utf-8")
    found = list(HtmlPage(answer).addresses(selector))
    whole = expected if not expected or ":" in expected else f"http://site.example/{expected}"
    assert found == [whole]


def test_addresses_and_tags_in_another_encoding_are_read_and_no_addresses_counted(
    site, tmp_path, capsys
):
    site.encoding = "shift_jis"
    site.pages["list"] = (
        "<b class=tag> 初音  ミク </b><b class=tag>blue hair</b><b class=tag>blue hair</b>"
        "<b class=tag> </b><img src='/絵.png'>"
        "<img src='data:image/png;base64,AAAA'><img src='javascript:void(0)'><img>"
        "<img src='ftp://127.0.0.1/x.png'><img src='http://[/bad.png'>"
        "<a rel=next href='javascript:more()'>"
    )
    site.pages["%E7%B5%B5.png"] = picture(5)
    entries = entries_of(gallery(site, "list", next="[rel=next]", tags=".tag"), tmp_path)
    assert [entry.status for entry in entries] == ["ok", "blocked", "blocked"]
    assert entries[0].url == site.url("%E7%B5%B5.png")
    assert entries[0].tags == ("初音_ミク", "blue_hair")
    said = capsys.readouterr().err
    for kind in ("images with a data:", "images with a javascript:", "pages with a javascript:"):
        assert f"1 left out: {kind}" in said


@pytest.mark.parametrize("link", ["a.post", "a"], ids=["links", "links and pager"])
def test_linked_pages_are_asked_for_side_by_side_and_each_tags_its_own_images(
    site, tmp_path, link
):
    list_posts(site, [[5, 3], [4]])
    for number in (5, 3, 4):
        site.pages[f"post/{number}"] += f"<i>tag {number}</i>"
    site.waits = {"post/5": 0.3, "post/3": 0.3}
    entries = entries_of(gallery(site, "list?page=0", "img", ".next", link, tags="i"), tmp_path)
    assert [(*names([entry]), entry.page, entry.tags) for entry in entries] == [
        (f"p{number}.png", site.url(f"post/{number}"), (f"tag_{number}",)) for number in (5, 3, 4)
    ]
    asked = [path for _, path in site.times]
    assert max(asked.index("post/5"), asked.index("post/3")) < asked.index("p5.png")


@pytest.mark.parametrize("limit", [1, 5, 13])
@pytest.mark.parametrize("slow", [0, 5])
def test_the_limit_is_exact_whichever_linked_page_comes_first(site, tmp_path, limit, slow):
    list_posts(site, [range(0, 4), range(4, 6)], images_a_post=2)
    site.waits = {f"post/{slow}": 0.15, "p3.png": 0.1}
    entries = entries_of(gallery(site, "list?page=0", "img", ".next", ".post", limit), tmp_path)
    assert names(entries) == [f"p{number}.png" for number in range(min(limit, 12))]
    assert all(entry.status == "ok" for entry in entries)


@pytest.mark.parametrize("lost", [0, 2])
def test_a_failed_linked_page_costs_its_own_images_alone_and_keeps_its_room(
    site, tmp_path, lost, capsys
):
    list_posts(site, [range(20), range(20, 30)])
    kept, site.pages[f"post/{lost}"] = site.pages[f"post/{lost}"], 500
    site.waits = {f"post/{lost}": 0.2}  # the last to answer: all the others wait for it
    source = gallery(site, "list?page=0", "img", ".next", ".post", 5)
    whole = [f"p{number}.png" for number in range(5)]
    assert names(entries_of(source, tmp_path)) == [each for each in whole if each[1] != str(lost)]
    assert sum(count for path, count in site.asked.items() if path.startswith("post/")) == 5
    assert site.asked["list?page=1"] == 0
    assert "1 left out: page: HTTP 500" in capsys.readouterr().err
    site.pages[f"post/{lost}"] = kept
    assert names(entries_of(source, tmp_path)) == whole


def test_linked_pages_without_images_or_with_known_ones_make_room_for_others(site, tmp_path):
    list_posts(site, [range(6), range(6, 12)])
    site.pages["post/1"] = "<p>a video</p>"
    site.pages["post/2"] = images([0, 0])
    entries = entries_of(gallery(site, "list?page=0", "img", ".next", ".post", 6), tmp_path)
    assert names(entries) == [f"p{number}.png" for number in (0, 3, 4, 5, 6, 7)]
    assert entries[0].page == site.url("post/0")


@pytest.mark.parametrize(
    ("broken", "settings", "message", "kept"),
    [
        (["list?page=1", "post/0"], {}, "page=1: HTTP 500", ["p1.png", "p2.png"]),
        ([], {"max_pages": 3}, "max_pages", ["p0.png", "p1.png"]),
    ],
)
def test_a_listing_that_breaks_off_keeps_what_it_found(
    site, tmp_path, broken, settings, message, kept
):
    list_posts(site, [range(3), range(3, 5)])
    site.pages |= dict.fromkeys(broken, 500)
    site.waits = {"post/0": 0.3}  # the others wait for it
    source = gallery(site, "list?page=0", "img", ".next", ".post", **settings)
    with Journal(tmp_path, source.identity) as journal:
        with pytest.raises(ListingError, match=message):
            source.fetch(Sink(journal))
        assert names(record.entry for record in journal.records()) == kept


@pytest.mark.parametrize(
    ("page", "link", "message"),
    [
        ("<p>nothing", "a.post", "--link 'a.post'"),
        ("<img src='data:x,y'>", "", "--image 'img'.*a data: address"),
        (picture(), "", "HTML"),
    ],
)
def test_a_first_page_that_is_no_such_listing_is_named(site, tmp_path, page, link, message):
    site.pages["list"] = page
    with pytest.raises(ListingError, match=message) as caught:
        entries_of(gallery(site, "list", link=link), tmp_path)
    assert site.url("list") in str(caught.value)


@pytest.mark.parametrize(
    ("option", "selector"),
    [("image", "  "), ("next", "a["), ("link", "a::nothing"), ("tags", "a[")],
)
def test_a_wrong_selector_is_refused_at_once_and_named(site, option, selector):
    with pytest.raises(GanError) as caught:
        gallery(site, **{option: selector})
    assert str(caught.value).startswith(f"--{option} {selector!r}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("noindex, NoAI", True),
        ("noimageai", True),
        ("max-snippet: 5, noai", True),
        ("avatar-gan: noindex, noai", True),
        ("otherbot: noindex, noai", False),
        ("noindex, noarchive", False),
    ],
)
def test_pages_that_keep_their_pictures_from_ai_bring_none(site, tmp_path, rules, kept):
    site.pages["list"] = f"<meta name=Robots content='{rules}'>{images([1])}<a href=list2>"
    site.pages["list2"] = f"<meta name=description content='noai'>{images([2])}"
    entries = entries_of(gallery(site, "list", next="a"), tmp_path)
    assert [entry.status for entry in entries] == ["blocked" if kept else "ok", "ok"]
    assert site.asked["p1.png"] == (not kept)
    entries = entries_of(gallery(site, "list", next="a", allow_noai=True), tmp_path / "b")
    assert [entry.status for entry in entries] == ["ok", "ok"]


def test_a_picture_is_asked_for_from_the_page_that_it_was_found_on(site, tmp_path):
    list_posts(site, [[1, 2], [3]])
    entries_of(gallery(site, "list?page=0", link="a.post", next="a.next"), tmp_path)
    sent = {each.path: each.headers.get("Referer") for each in site.requests}
    assert {path: page for path, page in sent.items() if page} == {
        f"/p{number}.png": site.url(f"post/{number}") for number in (1, 2, 3)
    }


def test_the_page_is_named_without_what_only_its_reader_may_know():
    page = "https://user:word@b.example/index.php?s=view&id=3&api_key=K#note"
    request = Request("https://img.example/3.png", meta={"page": page})
    Referer().process_request(request)
    assert request.headers["Referer"] == b"https://b.example/index.php?s=view&id=3"


def test_matches_that_all_lead_to_one_address_are_told_with_the_attribute_to_try(
    site, tmp_path, capsys
):
    lazy = "".join(f"<img src=p0.png data-odd=/full/{n}.jpg>" for n in range(8))
    site.pages["list"] = lazy
    assert names(entries_of(gallery(site, "list"), tmp_path)) == ["p0.png"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("7 left out")
    assert "::attr(data-odd)" in line
    site.pages["list"] = f"{images([1, 1, 2])}{images([3])}"
    entries_of(gallery(site, "list"), tmp_path / "b")
    assert not capsys.readouterr().err
