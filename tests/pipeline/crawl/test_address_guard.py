"""Only public addresses are connected to, by name, by number and behind a proxy."""

import pytest
from aiohttp import web
from fault_server import FORBIDDEN_HOST, Names, crawl

from gan.errors import GanError
from pipeline.crawl.http import address_guard as guard
from pipeline.crawl.http import download_handler as handler
from pipeline.crawl.http.address_guard import (
    CheckedResolver,
    NotPublicError,
    is_public,
    normalise,
)
from pipeline.crawl.http.failure_reasons import NOT_PUBLIC
from pipeline.crawl.http.listing import Listing, ListingPage, PageRequest
from pipeline.crawl.image_check import ListedImage

PUBLIC = ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")
PRIVATE = (
    *("127.0.0.1", "10.1.2.3", "100.64.0.1", "169.254.169.254", "192.88.99.1", "224.0.0.1"),
    *("255.255.255.255", "0.0.0.0", "::1", "::ffff:10.0.0.1", "fe80::1%eth0", "fd00::1"),
    *("ff02::1", "64:ff9b::7f00:1", "2001::1", "2002:7f00:1::", "3fff::1", "5f00::1"),
)


@pytest.mark.parametrize("address", [*PUBLIC, *PRIVATE])
def test_public_addresses_differ_from_all_others(address):
    assert is_public(address) == (address in PUBLIC)


def test_an_allowed_host_and_port_has_one_spelling():
    assert normalise("Booru.LAN.:8000") == "booru.lan:8000"
    assert normalise("booru.lan") == "booru.lan:80"
    assert normalise("[0:0:0::1]:8000") == "[::1]:8000"


@pytest.fixture
def open_127(server, monkeypatch):
    """127.0.0.1 stands for the public web, the forbidden address listens at the same port."""

    def first_is_public(address):
        return address == "127.0.0.1" or is_public(address)

    server.call(server.listen(FORBIDDEN_HOST, server.port))
    monkeypatch.setattr(guard, "is_public", first_is_public)


@pytest.mark.usefixtures("open_127")
def test_a_name_that_turns_private_after_its_check_leads_nowhere(server, tmp_path, monkeypatch):
    async def close(request):
        headers = {"Connection": "close"}
        return web.Response(status=404 if "robots" in request.path else 200, headers=headers)

    server.do_robots = server.do_open = close
    monkeypatch.setattr(handler, "NAMES_LAST_S", 0)
    names = Names({"rebind.test": [["127.0.0.1"], ["127.0.0.1"], [FORBIDDEN_HOST]]})
    urls = [f"http://rebind.test:{server.port}/{name}" for name in ("open", "secret", "other")]
    entries = crawl(urls, tmp_path, resolver=names, connections=1)
    assert [entry.status for entry in entries] == ["failed", "blocked", "blocked"]
    assert {entry.reason for entry in entries[1:]} == {NOT_PUBLIC}
    assert names.asked["rebind.test"] >= 3
    assert server.asked == {"robots.txt": 1, "open": 1}


@pytest.mark.usefixtures("open_127")
def test_the_address_of_a_connection_is_the_checked_one(server, tmp_path):
    """A name is resolved once for a connection: its next answer is never looked at."""
    names = Names({"rebind.test": [["127.0.0.1"], [FORBIDDEN_HOST]]})
    urls = [f"http://rebind.test:{server.port}/{name}" for name in range(20)]
    entries = crawl(urls, tmp_path, resolver=names, connections=1)
    assert {entry.status for entry in entries} == {"ok"}
    assert names.asked["rebind.test"] == 1
    assert server.asked["forbidden"] == 0


def test_no_socket_is_made_for_a_private_address_that_got_past_everything_else():
    guarded = CheckedResolver(Names({}), frozenset({"127.0.0.1:8000"}))
    for place in (("127.0.0.1", 8001), ("127.0.0.3", 8000), ("::1", 8000, 0, 0)):
        with pytest.raises(NotPublicError):
            guarded.make_socket((10 if len(place) > 2 else 2, 1, 6, "", place))
    for place in (("127.0.0.1", 8000), ("8.8.8.8", 80)):
        guarded.make_socket((2, 1, 6, "", place)).close()


def test_a_private_site_is_refused_unless_it_is_the_exact_one_allowed(server, tmp_path):
    urls = [f"{server.root}/fine.png"]
    for allowed in ((), ("127.0.0.1",), (f"127.0.0.1:{server.forbidden_port}",)):
        [entry] = crawl(urls, tmp_path / "no", allowed)
        assert (entry.status, entry.reason) == ("blocked", NOT_PUBLIC)
    assert not server.asked
    urls += [f"http://[::1]:{server.six_port}/a.png"]
    entries = crawl(urls, tmp_path / "yes", [server.place, f"[0:0::1]:{server.six_port}"])
    assert [entry.status for entry in entries] == ["ok", "ok"]
    assert server.asked["forbidden"] == 2  # the robots.txt and the picture of [::1]


def test_an_allowed_name_does_not_open_its_address_or_its_other_ports(server, tmp_path):
    names = Names.here("lan.test", "other.test")
    port = server.port
    other_port = server.call(server.listen("127.0.0.1"))
    urls = [
        f"http://LAN.test.:{port}/a.png",
        f"http://127.0.0.1:{port}/b.png",
        f"http://other.test:{port}/c.png",
        f"http://lan.test:{other_port}/d.png",
    ]
    entries = crawl(urls, tmp_path, [f"lan.test:{port}"], names)
    assert [entry.status for entry in entries] == ["ok", "blocked", "blocked", "blocked"]
    assert set(server.asked) == {"robots.txt", "a.png"}


def test_behind_a_proxy_a_name_that_is_private_here_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.root)
    monkeypatch.delenv("no_proxy", raising=False)
    names = Names({"public.test": [["8.8.8.8"]], "internal.test": [[FORBIDDEN_HOST]]})
    urls = [
        "http://public.test/a.png",
        "http://only-the-proxy-knows.test/b.png",
        "http://internal.test/c.png",
        "http://127.0.0.3/d.png",
        f"{server.root}/e.png",
    ]
    entries = crawl(urls, tmp_path, resolver=names)
    assert [entry.status for entry in entries] == ["ok", "ok", "blocked", "blocked", "blocked"]
    assert set(server.asked) == {"robots.txt", "a.png", "b.png"}
    assert server.headers["a.png"]["Host"] == "public.test"


def test_a_server_gets_the_name_and_contact_of_the_crawler_and_no_proxy_does(
    server, tmp_path, monkeypatch
):
    monkeypatch.setenv("http_proxy", server.forbidden)  # private sites are asked directly
    crawl([f"{server.root}/a.png"], tmp_path / "a", [server.place])
    crawl([f"{server.root}/b.png"], tmp_path / "b", [server.place], contact="me@example.org")
    anonymous, named = (server.headers[f"{name}.png"]["User-Agent"] for name in "ab")
    assert anonymous.startswith("avatar-gan/")
    assert named == anonymous.removesuffix(")") + "; me@example.org)"
    assert server.headers["robots.txt"]["User-Agent"] == named
    assert server.asked["forbidden"] == 0


def list_one(page, image):
    """A listing whose only page names one image."""
    listing = Listing()
    listing.start = lambda: ListingPage(pages=[page])
    listing.read = lambda page, answer: ListingPage([ListedImage(0, "page", image)])
    return listing


def test_a_key_is_sent_to_its_own_host_alone(server, tmp_path):
    mirror = f"http://cdn.test:{server.port}"

    async def do_list(request):
        raise web.HTTPFound(f"{mirror}/mirror?{request.query_string}")

    server.do_list = do_list
    allowed, names = [server.place, f"cdn.test:{server.port}"], Names.here("cdn.test")
    page = PageRequest(f"{server.root}/list", authorization="Basic c2VjcmV0")
    [entry] = crawl(list_one(page, f"{mirror}/a.png"), tmp_path / "header", allowed, names)
    assert entry.status == "ok"
    assert server.headers["list"]["Authorization"] == "Basic c2VjcmV0"
    for path in ("robots.txt", "mirror", "a.png"):
        assert "Authorization" not in server.headers[path]
        assert "Referer" not in server.headers[path]
    server.asked.clear()
    # An address that holds a key is not taken to another host.
    page = PageRequest(f"{server.root}/list?key=secret", shown="the page")
    with pytest.raises(GanError, match=r"^the page: "):
        crawl(list_one(page, f"{mirror}/a.png"), tmp_path / "address", allowed, names)
    assert set(server.asked) == {"robots.txt", "list"}
