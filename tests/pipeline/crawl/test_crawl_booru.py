"""Three kinds of booru, crawled over HTTP: the same posts come out of each dialect."""

import base64
import json
from contextlib import ExitStack
from urllib.parse import quote, urlencode

import pytest
from aiohttp import web
from booru_servers import KEY, USER, DanbooruServer, GelbooruServer, MoebooruServer, PictureServer
from local_server import FIELDS, entries_of, fetch_dataset, make_policy

from gan.errors import GanError
from pipeline.crawl.booru.source import Booru
from pipeline.crawl.build import build_dataset
from pipeline.crawl.data_folder import DataFolder
from pipeline.crawl.http.spider import ListingError
from pipeline.crawl.request import ScrapeRequest
from pipeline.crawl.sink import Sink, log_entries
from pipeline.crawl.storage.earlier_crawl import EarlierCrawl
from pipeline.crawl.storage.journal import Journal
from pipeline.dataset.reader import Dataset
from pipeline.paths import Paths

SERVERS = {"danbooru": DanbooruServer, "gelbooru": GelbooruServer, "moebooru": MoebooruServer}


@pytest.fixture(params=SERVERS)
def site(request):
    with SERVERS[request.param]() as server:
        server.dialect = request.param
        yield server


@pytest.fixture
def serve():
    with ExitStack() as opened:
        yield lambda kind: opened.enter_context(kind())


@pytest.fixture(autouse=True)
def _nobody(monkeypatch):
    for name in ("GAN_BOORU_USER", "GAN_BOORU_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def account(monkeypatch):
    monkeypatch.setenv("GAN_BOORU_USER", USER)
    monkeypatch.setenv("GAN_BOORU_KEY", KEY)


def booru(site, limit=1000, others=(), **options):
    fields = {name: options.pop(name) for name in FIELDS & options.keys()}
    policy = make_policy([each.place for each in (site, *others)], redirects=3, **fields)
    return Booru(site.root, ScrapeRequest(limit=limit, **options), policy)


def numbers(entries):
    return [int(entry.url.rpartition("/")[2].removesuffix(".png")) for entry in entries]


def fill(site, count, **fields):
    site.posts = [site.post(number, **fields) for number in range(count, 0, -1)]


def answer_with(site, path, text):
    site.overrides[path] = lambda request: web.Response(text=text)


@pytest.mark.slow
def test_all_posts_come_newest_first_with_their_fields_though_others_are_added(site, tmp_path):
    fill(site, 350, source="https://artist.example/1")
    whole = site.list

    def grow(request):
        answer = whole(request)
        top = site.posts[0]["id"]
        site.posts[:0] = [site.post(top + 7 - index) for index in range(7)]
        return answer

    site.list = grow
    entries = entries_of(booru(site, limit=210, api=site.dialect), tmp_path)
    assert numbers(entries) == list(range(350, 140, -1))
    first = entries[0]
    pages = {"danbooru": "/posts/350", "moebooru": "/post/show/350"}
    page = pages.get(site.dialect, "/index.php?page=post&s=view&id=350")
    assert first.page == site.root + page
    assert first.tags == ("1girl", "solo")
    assert (first.rating, first.source) == ("general", "https://artist.example/1")
    assert (first.status, first.licence) == ("ok", "unknown")
    # No page is larger than the documented limit, and none is asked for in vain.
    largest = 200 if site.dialect == "danbooru" else 100
    asked = [int(each.query["limit"]) for each in site.requests_of(site.path)]
    assert asked == [largest] * (-(-210 // largest))
    assert len(site.files) == 210


def test_tags_are_searched_for_and_a_resumed_crawl_does_not_detect_the_api_again(site, tmp_path):
    fill(site, 6)
    field = "tag_string" if site.dialect == "danbooru" else "tags"
    site.posts[1][field] = "1girl cat_ears hat"
    site.posts[4][field] = "cat_ears"
    assert numbers(entries_of(booru(site, tags="cat_ears -hat"), tmp_path / "a")) == [2]
    source = booru(site, tags="cat_ears")
    first = entries_of(source, tmp_path / "b")
    assert numbers(first) == [5, 2]
    site.requests.clear()
    assert entries_of(source, tmp_path / "b") == first
    others = {server.path for server in SERVERS.values()} - {site.path}
    assert {request.path for request in site.requests}.isdisjoint(others)


RATINGS = {
    "danbooru": {"g": "general", "s": "sensitive", "q": "questionable", "e": "explicit"},
    "gelbooru": {"general": "general", "sensitive": "sensitive", "safe": "general"},
    "moebooru": {"s": "general", "q": "questionable", "e": "explicit", "g": ""},
}
"""The meaning of each site's words; "" where it is unknown, as without a word."""


@pytest.mark.parametrize(
    "wanted",
    ["general", "general questionable", "general sensitive questionable explicit"],
)
def test_only_wanted_ratings_come_and_each_word_means_what_it_means_there(site, tmp_path, wanted):
    meant = {**RATINGS[site.dialect], "x": "", None: ""}
    site.posts = [site.post(10 - index, rating=word) for index, word in enumerate(meant)]
    entries = entries_of(booru(site, ratings=wanted, api=site.dialect), tmp_path)
    expected = [(10 - i, word) for i, word in enumerate(meant.values()) if word in wanted.split()]
    assert [(*numbers([entry]), entry.rating) for entry in entries] == expected


def test_posts_without_a_still_image_are_counted_and_do_not_use_up_the_limit(
    site, tmp_path, capsys
):
    fill(site, 11)
    strange = ["/a.mp4", "http://[bad/a.png", "http://h:99999/a.png", "/b.zip", "/\ud800.png"]
    for post, url in zip(site.posts, strange, strict=False):
        post["file_url"] = url
    for post in site.posts[5:7]:
        for name in ("file_url", "image"):
            post.pop(name, None)
    site.posts[8]["file_url"] = site.posts[8]["image"] = None
    site.posts[9]["file_url"] = "/data/2.png"
    site.posts[10]["file_url"] = f"//{site.place}/data/1.png"
    entries = entries_of(booru(site, limit=3), tmp_path)
    assert numbers(entries) == [4, 2, 1]
    assert [entry.url for entry in entries[1:]] == [f"{site.root}/data/{n}.png" for n in (2, 1)]
    assert {entry.status for entry in entries} == {"ok"}
    counts = [line.partition(" ")[0] for line in capsys.readouterr().err.splitlines()]
    assert counts == ["2", "3", "3"]  # by reason


def test_a_later_crawl_adds_newer_posts_to_the_dataset_and_asks_for_no_known_file(site, tmp_path):
    fill(site, 30)
    dataset = fetch_dataset(booru(site, limit=20), tmp_path)
    assert dataset.source == {
        "source": f"booru:{site.root}",
        "tags": "",
        "ratings": ["general"],
        "limit": 20,
        "licence": "unknown",
        "counts": {"ok": 20},
    }
    site.posts[:0] = [site.post(35 - index) for index in range(5)]
    site.requests.clear()
    new = booru(site, limit=25)
    assert new.continues(Dataset.open(tmp_path / "data"))
    assert booru(site, api=site.dialect).continues(dataset)
    assert not booru(site, tags="solo").continues(dataset)
    assert not booru(site, ratings="general,sensitive").continues(dataset)
    entries = entries_of(new, tmp_path / "b", EarlierCrawl(dataset))
    assert numbers(entries) == [35, 34, 33, 32, 31]
    assert len(site.files) == 5


@pytest.mark.slow
def test_a_crawl_that_broke_off_and_resumed_ends_as_an_uninterrupted_one(site, tmp_path):
    fill(site, 250)
    site.overrides[site.path] = lambda request: (
        web.Response(status=500) if len(site.requests_of(site.path)) > 1 else site.reply(request)
    )
    source = booru(site, api=site.dialect)
    with pytest.raises(ListingError):
        entries_of(source, tmp_path)
    fetched = len(site.files)
    site.overrides.clear()
    site.posts[:0] = [site.post(260 - index) for index in range(10)]
    entries = entries_of(source, tmp_path)
    assert 100 <= fetched < 250
    assert numbers(entries) == list(range(250, 0, -1))
    assert len(site.files) == 250


@pytest.mark.usefixtures("account")
def test_a_picture_is_asked_for_from_its_posts_page_and_nothing_else_from_any(site, tmp_path):
    site.wants_referer = True
    fill(site, 3)
    site.posts[0]["file_url"] = f"{site.root}/moved/3.png"
    site.overrides["/moved/3.png"] = lambda request: web.Response(
        status=302, headers={"Location": "/data/3.png"}
    )
    entries = entries_of(booru(site), tmp_path)
    assert [entry.status for entry in entries] == ["ok"] * 3
    pages = {entry.page for entry in entries}
    sent = {each.path: each.headers.get("Referer") for each in site.requests}
    assert {page for path, page in sent.items() if path.endswith(".png")} == pages
    assert {page for path, page in sent.items() if not path.endswith(".png")} == {None}


def test_a_page_in_place_of_a_picture_is_told_and_asked_for_again(site, tmp_path, capsys):
    site.wants_referer = True
    fill(site, 4)
    for post in site.posts[:2]:  # of a site that no page of this one may show
        post["file_url"] = f"{site.root}/elsewhere/{post['id']}.png"
        site.overrides[f"/elsewhere/{post['id']}.png"] = lambda request: web.Response(
            status=302, headers={"Location": "/view?id=1"}
        )
    dataset = fetch_dataset(booru(site), tmp_path)
    entries = list(dataset.entries())
    assert [entry.status for entry in entries] == ["failed", "failed", "ok", "ok"]
    assert "HTML page" in entries[0].reason
    site.overrides.clear()
    again = entries_of(booru(site), tmp_path / "again", EarlierCrawl(dataset))
    assert [(entry.url, entry.status) for entry in again] == [
        (entry.url, "ok") for entry in entries[:2]
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("api", ["named", "detected"])
def test_a_site_as_strict_as_real_ones_brings_its_pictures(site, tmp_path, api):
    """Referer, robots.txt, a key and a limit of one listing a second."""
    site.wants_referer = site.envelope = True
    site.obey(site.robots)
    site.limit_listings()
    fill(site, 210)
    for post in site.posts:
        post["file_url"] = f"{site.root}/data/{post['id']}.png"
    name = site.dialect if api == "named" else ""
    entries = entries_of(booru(site, api=name, paces_apis=True, limit=205), tmp_path)
    assert numbers(entries) == list(range(210, 5, -1))
    assert {entry.status for entry in entries} == {"ok"}
    largest = 200 if site.dialect == "danbooru" else 100
    assert len(site.requests_of(site.path)) == -(-205 // largest)  # none was refused


def test_the_listing_alone_is_not_subject_to_robots_txt_and_its_crawl_delay_counts(site, tmp_path):
    site.obey(f"{site.robots}Disallow: /image\nDisallow: /original\nCrawl-delay: 0.3\n")
    fill(site, 2)
    entries = entries_of(booru(site, api=site.dialect), tmp_path)
    assert {(entry.status, entry.reason) for entry in entries} == {("blocked", "robots.txt")}
    (robots,) = [moment for moment, path in site.times if path == "robots.txt"]
    (listing,) = [moment for moment, path in site.times if path != "robots.txt"]
    assert listing - robots > 0.2
    site.overrides["/robots.txt"] = lambda request: web.Response(status=503)
    assert len(entries_of(booru(site, api=site.dialect), tmp_path / "b")) == 2


def test_a_listing_that_leads_to_another_address_is_subject_to_robots_txt(site, tmp_path):
    site.obey("User-agent: *\nDisallow: /\n")
    site.overrides[site.path] = lambda request: web.Response(
        status=302, headers={"Location": "/elsewhere.json"}
    )
    with pytest.raises(ListingError, match="robots") as caught:
        entries_of(booru(site, api=site.dialect), tmp_path)
    assert "archive:" in str(caught.value)
    assert not site.requests_of("/elsewhere.json")


@pytest.mark.parametrize("where", ["picture", "listing"])
def test_pictures_kept_from_ai_are_blocked_and_fetched_with_the_right_to(site, tmp_path, where):
    fill(site, 3)
    path = site.path if where == "listing" else "/data/3.png"
    site.posts[0]["file_url"] = f"{site.root}/data/3.png"

    def tagged(request):
        answer = site.reply(request)
        answer.headers["X-Robots-Tag"] = "otherbot: noindex, max-snippet: 5, noimageai"
        answer.headers.add("X-Robots-Tag", "max-snippet: 5, NoImageAI")
        return answer

    site.overrides[path] = tagged
    source = booru(site, api=site.dialect)
    if where == "listing":
        assert {each.status for each in entries_of(source, tmp_path)} == {"blocked"}
        return
    dataset = fetch_dataset(source, tmp_path)
    assert [each.status for each in dataset.entries()] == ["blocked", "ok", "ok"]
    assert source.is_settled(next(dataset.entries()))
    allowed = booru(site, api=site.dialect, allow_noai=True)
    earlier = EarlierCrawl(dataset, allowed.is_settled)
    assert [each.status for each in entries_of(allowed, tmp_path / "b", earlier)] == ["ok"]


# What is peculiar to one dialect.


def test_danbooru_hides_ids_of_posts_for_paying_accounts_and_allows_two_tags(serve, tmp_path):
    site = serve(DanbooruServer)
    hide = site.make_restricted
    site.posts = [hide(5), site.post(4), hide(3), site.post(2), hide(1)]
    assert numbers(entries_of(booru(site, tags="1girl solo"), tmp_path / "a")) == [4, 2]
    site.posts = [site.post(900), *(hide(number) for number in range(899, 0, -1))]
    with pytest.raises(ListingError, match="posts without an id"):
        entries_of(booru(site), tmp_path / "b")
    entries_of(
        booru(site, limit=1, tags="rating:s solo"), tmp_path / "c"
    )  # a rating of the user's
    assert site.requests_of(site.path)[-1].query["tags"].count("rating:") == 1
    with pytest.raises(GanError, match=r"HTTP 422; "):
        entries_of(booru(site, tags="1girl solo -hat", api="danbooru"), tmp_path / "d")


def test_gelbooru_ids_may_be_text_and_files_may_be_named_by_their_folder(serve, tmp_path):
    site = serve(GelbooruServer)
    site.deepest = 100
    fill(site, 230)
    for post in site.posts:
        post["id"] = str(post["id"])
        del post["file_url"]
    site.posts[0] |= {"directory": "ab/cd", "image": "a b230.png", "tags": None}
    site.posts[1]["tags"] = "someone&#039;s_hat &lt;3"
    entries = entries_of(booru(site), tmp_path)
    assert len(entries) == 230
    assert entries[0].url == f"{site.root}/images/ab/cd/a%20b230.png"
    assert (entries[0].tags, entries[1].tags) == ((), ("someone's_hat", "<3"))
    assert entries[-1].url == f"{site.root}/images/0/1.png"
    assert {entry.status for entry in entries} == {"ok"}


@pytest.mark.parametrize("api", ["gelbooru", ""])
def test_a_refused_account_names_the_variables_and_the_form_of_the_name(
    serve, tmp_path, monkeypatch, api
):
    site = serve(GelbooruServer)
    site.envelope = True
    with pytest.raises(ListingError, match="set GAN_BOORU_USER and GAN_BOORU_KEY"):
        entries_of(booru(site, api=api), tmp_path / "a")
    for name, value in (("GAN_BOORU_USER", "a-login"), ("GAN_BOORU_KEY", "wrong")):
        monkeypatch.setenv(name, value)
    with pytest.raises(ListingError, match="GAN_BOORU_USER is a number"):
        entries_of(booru(site, api=api), tmp_path / "b")


@pytest.mark.parametrize("api", ["danbooru", ""])
def test_a_site_whose_api_is_not_spoken_and_a_challenge_say_what_to_do(serve, tmp_path, api):
    site = serve(PictureServer)
    answer_with(site, "/posts.json", '{"posts": [{"id": 1, "file": {"url": "x"}}]}')
    with pytest.raises(ListingError, match="e621") as caught:
        entries_of(booru(site, api=api), tmp_path / "a")
    assert "archive:" in str(caught.value)
    assert "name it with --api" not in str(caught.value)

    def challenge(request):
        return web.Response(status=403, headers={"cf-mitigated": "challenge"})

    for path in ("/posts.json", "/post.json", "/index.php"):
        site.overrides[path] = challenge
    with pytest.raises(GanError, match="challenge for browsers") as caught:
        build_dataset(booru(site, api=api), DataFolder(Paths(tmp_path)), EarlierCrawl())
    assert "scrape.contact" in str(caught.value)
    assert "account" not in str(caught.value)


@pytest.mark.parametrize(
    ("page", "site", "tags"),
    [
        ("https://b.example/index.php?page=post&s=list&tags=1girl+solo", "", "1girl solo"),
        ("https://b.example/sub/posts?tags=x", "/sub", "x"),
        ("https://b.example/posts/123", "", ""),
        ("https://b.example/post/show/123", "", ""),
        ("https://b.example/post?tags=x", "", "x"),
        ("https://b.example/?tags=x", "/", "x"),
    ],
)
def test_a_page_in_place_of_the_site_is_refused_with_the_site_and_its_tags(page, site, tags):
    with pytest.raises(GanError) as caught:
        Booru(page, ScrapeRequest(limit=5), make_policy([]))
    advice = str(caught.value).partition("; ")[2]
    assert advice == f"give --source booru:https://b.example{site}" + (
        f" and --tags {tags!r}" if tags else ""
    )


@pytest.mark.parametrize("answer", [" \n", '{"@attributes": {"count": 0}}', '{"post": null}'])
def test_gelbooru_answers_without_posts_end_the_listing(serve, tmp_path, answer):
    site = serve(GelbooruServer)
    answer_with(site, site.path, answer)
    assert entries_of(booru(site, api="gelbooru"), tmp_path) == []


def test_a_gelbooru_that_wants_an_account_names_the_variables(serve, tmp_path, request):
    site = serve(GelbooruServer)
    site.envelope = True
    fill(site, 130)
    with pytest.raises(GanError, match=r"GAN_BOORU_USER"):
        entries_of(booru(site, api="gelbooru"), tmp_path)
    request.getfixturevalue("account")
    assert len(entries_of(booru(site, api="gelbooru"), tmp_path)) == 130


@pytest.mark.slow
def test_moebooru_posts_are_left_out_if_deleted_or_held_back_and_come_in_order(serve, tmp_path):
    site = serve(MoebooruServer)
    fill(site, 250)
    site.index = (3, 4, 5)
    site.posts[0] = site.make_deleted(250)
    site.posts[1]["is_held"] = True
    site.posts[2]["is_shown_in_index"] = False
    assert numbers(entries_of(booru(site), tmp_path)) == list(range(248, 0, -1))


# Invalid answers, and impossible searches.


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("[" * 100_000, "no JSON"),
        ("null", "no list of posts"),
        ('{"success": false, "message": "search down"}', "search down"),
        ("[7]", "a post that is no object"),
        ('[{"id": -3}, {"id": true}, {"id": "x"}, {"id": 1e9}]', "posts without an id"),
    ],
)
def test_an_invalid_listing_is_one_line_with_its_reason(site, tmp_path, answer, reason):
    answer_with(site, site.path, answer)
    with pytest.raises(ListingError, match=reason) as caught:
        entries_of(booru(site, api=site.dialect), tmp_path)
    assert "\n" not in str(caught.value)


def test_pages_may_overlap_hold_nulls_and_one_that_repeats_itself_ends_the_crawl(site, tmp_path):
    post = site.post
    nulls = [dict.fromkeys(post(50)) | {"id": 50}, {key: {} for key in post(49)} | {"id": 49}]
    pages = iter([[*nulls, *map(post, (40, 20, 30, 20))], [*map(post, (30, 20, 10))]])
    site.overrides[site.path] = lambda request: web.Response(
        text=json.dumps(next(pages, [post(20)]))
    )
    source = booru(site, api=site.dialect)
    with Journal(tmp_path, source.identity) as journal:
        with pytest.raises(ListingError, match="a page that repeats itself"):
            source.fetch(Sink(journal))
        assert numbers([record.entry for record in journal.records()]) == [40, 30, 20, 10]
    assert len(site.requests_of(site.path)) == 3
    assert len(site.files) == 4


def test_a_site_that_is_no_booru_is_named_with_all_apis(serve, tmp_path):
    site = serve(PictureServer)
    site.overrides["/post.json"] = lambda request: web.Response(
        status=302, headers={"Location": "/private.json"}
    )
    site.obey("User-agent: *\nDisallow: /private.json\n")
    answer_with(site, "/index.php", "<html>welcome</html>")
    with pytest.raises(ListingError) as caught:
        entries_of(booru(site), tmp_path)
    line = str(caught.value)
    assert "danbooru: HTTP 404; moebooru: robots.txt; gelbooru: " in line
    assert "\n" not in line
    assert not site.requests_of("/private.json")
    site.requests.clear()
    private = Booru(site.root, ScrapeRequest(limit=5), make_policy([]))
    with pytest.raises(ListingError, match=f"^{site.root}: "):  # no word of its API
        entries_of(private, tmp_path / "private")
    assert not site.requests


@pytest.mark.parametrize(
    "options",
    [{"api": "shimmie"}, {"ratings": "safe"}, {"tags": "solo -ID:<5"}],
)
def test_an_impossible_search_is_refused_before_any_request(options):
    with pytest.raises(GanError, match=f"--{next(iter(options))} "):
        Booru("https://b.example", ScrapeRequest(limit=5, **options), make_policy([]))


# Credentials.


def everything_under(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in files).decode("latin-1")


def reveals(text):
    basic = base64.b64encode(f"{USER}:{KEY}".encode()).decode()
    return any(form in text for form in (KEY, quote(KEY), quote(KEY, safe=""), basic))


@pytest.mark.usefixtures("account")
def test_credentials_are_sent_with_the_listing_alone_and_are_in_nothing_that_is_written(
    site, serve, tmp_path, capsys
):
    images = serve(PictureServer)
    fill(site, 120)
    for post in site.posts[:60]:
        post["file_url"] = f"{images.root}/{post['id']}.png"
    site.posts[0]["file_url"] = f"{images.root}/missing"
    # Posts whose fields repeat the key are left out.
    site.posts[1]["file_url"] += "?" + urlencode({"key": KEY})
    site.posts[2]["source"] = f"https://artist.example/{KEY}"
    source = booru(site, others=[images], limit=110, api=site.dialect)
    with log_entries(tmp_path / "log.jsonl") as log:
        fetch_dataset(source, tmp_path, log=log)
    assert len(images.files) == 57
    for each in [*images.requests, *site.requests]:
        is_listing = each in site.requests_of(site.path)
        assert reveals(each.raw_path + str(each.headers)) == is_listing, each.headers
    written = everything_under(tmp_path)
    assert "missing" in written
    assert not reveals(written)
    assert USER not in written
    assert not reveals("".join(capsys.readouterr()) + repr(source) + str(source.identity))


@pytest.mark.slow
@pytest.mark.usefixtures("account")
def test_no_error_shows_credentials_even_where_the_site_repeats_them(site, tmp_path):
    told = {"success": False, "message": f"no account {USER} with key {KEY}"}
    answers = [
        lambda request: web.Response(status=403),
        lambda request: web.Response(text=json.dumps(told)),
        lambda request: web.Response(text=KEY),
    ]
    for number, answer in enumerate(answers):
        site.overrides[site.path] = answer
        for api in (site.dialect, "auto"):
            with pytest.raises(ListingError) as caught:
                entries_of(booru(site, api=api), tmp_path / f"{number}-{api}")
            shown = f"{caught.value} {caught.value!r} {caught.value.__cause__}"
            assert not reveals(shown), shown
            assert USER not in shown, shown
    assert not reveals(everything_under(tmp_path))


@pytest.mark.parametrize(
    ("root", "names"),
    [
        ("http://192.168.0.7:8080", ["GAN_BOORU_KEY", "GAN_BOORU_USER"]),
        ("http://127.0.0.1.example", ["GAN_BOORU_KEY", "GAN_BOORU_USER"]),
        ("https://booru.example", ["GAN_BOORU_USER"]),
        ("https://booru.example", ["GAN_BOORU_KEY"]),
    ],
)
def test_credentials_are_neither_sent_in_the_clear_nor_by_halves(
    root, names, tmp_path, monkeypatch
):
    for name in names:
        monkeypatch.setenv(name, KEY)
    source = Booru(root, ScrapeRequest(limit=5), make_policy(["192.168.0.7:8080"]))
    with pytest.raises(GanError, match="GAN_BOORU_KEY") as caught:
        entries_of(source, tmp_path)
    assert not reveals(str(caught.value))
