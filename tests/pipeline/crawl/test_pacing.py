"""Politeness of a crawl: delays, Retry-After, back-off, giving up, robots.txt, stopping."""

import asyncio
import os
import re
import signal
import threading
import time
from collections import Counter
from email.utils import formatdate
from itertools import pairwise

import pytest
from aiohttp import web
from fault_server import Names, crawl
from local_server import picture

from gan.errors import GanError
from gan.params.file import parse_params
from pipeline.crawl.http.listing import Listing, ListingPage, PageRequest
from pipeline.crawl.http.pacing import MAX_REPORTED_HOSTS, HostState, parse_retry_after
from pipeline.crawl.image_check import ListedImage
from pipeline.crawl.storage.journal import Journal

SOON = 0.02
"""Seconds that a clock may be early."""


def images(server, count, host="127.0.0.1"):
    return [f"http://{host}:{server.port}/{index}.png" for index in range(count)]


def always(status, text=None, **headers):
    async def answer(request):
        return web.Response(status=status, text=text, headers=headers)

    return answer


def busy_once(server, wait):
    async def answer(request):
        if server.asked[server.path_of(request)] > 1:
            return web.Response(body=picture())
        return web.Response(status=429, headers={"Retry-After": wait})

    return answer


def test_retry_after_is_read_as_seconds_or_as_a_date():
    assert parse_retry_after("7", now=10.0) == 7
    assert parse_retry_after("Thu, 01 Jan 1970 00:01:00 GMT", now=10.0) == 50
    assert parse_retry_after("soon", now=10.0) is parse_retry_after("²", now=10.0) is None


@pytest.mark.parametrize(
    ("asked", "settings", "seconds"),
    [
        ("", {"delay": 0.15}, 0.15),
        ("Crawl-delay: 0.3", {}, 0.3),
        ("Crawl-delay: 0.3", {"longest_wait": 0.15}, 0.15),
    ],
)
def test_requests_to_one_host_keep_the_distance_of_the_settings_or_of_robots_txt(
    server, tmp_path, asked, settings, seconds
):
    server.robots = f"User-agent: *\n{asked}"
    crawl(images(server, 6), tmp_path, [server.place], **settings)
    moments = [moment for moment, _ in server.times]
    assert len(moments) == 7
    # A busy machine may see single ones late.
    assert min(later - earlier for earlier, later in pairwise(moments)) >= seconds / 2
    assert moments[-1] - moments[0] >= (len(moments) - 1.5) * seconds


def test_no_more_requests_are_in_flight_than_connections(server, tmp_path):
    flying = Counter()

    async def do_slow(request):
        flying["now"] += 1
        flying["most"] = max(flying["most"], flying["now"])
        await asyncio.sleep(0.05)
        flying["now"] -= 1
        return web.Response(body=picture())

    server.do_slow = do_slow
    hosts = [f"h{index}.test" for index in range(6)]
    urls = [f"http://{h}:{server.port}/slow/{i}.png" for h in hosts for i in range(4)]
    allowed = [f"{host}:{server.port}" for host in hosts]
    crawl(urls, tmp_path, allowed, Names.here(*hosts), connections=3)
    assert flying["most"] == 3


@pytest.mark.parametrize(("retries", "lines"), [(0, 0), (3, MAX_REPORTED_HOSTS)])
def test_the_first_failure_of_the_first_hosts_is_one_line_with_its_wait(
    tmp_path, capsys, retries, lines
):
    hosts = [f"h{number}.test" for number in range(MAX_REPORTED_HOSTS + 5)]
    urls = [f"http://{host}/{name}.png" for host in hosts for name in "ab"]
    entries = crawl(urls, tmp_path, resolver=Names({}), retries=retries, backoff=0.06)
    assert {entry.reason for entry in entries} == {"robots.txt: host not found"}
    said = re.findall(rf"(h\d+\.test): .* 0\.\d s, {retries} ", capsys.readouterr().err)
    assert len(said) == len(set(said)) == lines


@pytest.mark.parametrize("as_date", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_wait_that_is_asked_for_is_kept_by_all_requests_to_the_host_and_no_other(
    server, tmp_path, as_date, capsys
):
    date = int(time.time()) + 3
    server.do_first = busy_once(server, formatdate(date, usegmt=True) if as_date else "1")
    urls = [f"http://busy.test:{server.port}/first"]
    urls += [f"http://busy.test:{server.port}/later/{index}" for index in range(10)]
    urls += [f"http://free.test:{server.port}/free/{index}" for index in range(10)]
    allowed = [f"busy.test:{server.port}", f"free.test:{server.port}"]
    names = Names.here("busy.test", "free.test")
    entries = crawl(urls, tmp_path, allowed, names, connections=1)
    assert {entry.status for entry in entries} == {"ok"}
    first, second = server.times_of("first")
    free = [moment for moment, path in server.times if path.startswith("free/")]
    later = [moment for moment, path in server.times if path.startswith("later/")]
    until = date - time.time() + time.monotonic() if as_date else first + 1
    assert min(second, *later) >= until - SOON
    assert max(free) < second
    assert re.match(r"busy\.test: HTTP 429; .* [012]\.\d s, 2 times", capsys.readouterr().err)


def test_no_wait_is_longer_than_the_longest(server, tmp_path):
    server.do_busy = busy_once(server, "3600")
    [entry] = crawl([f"{server.root}/busy"], tmp_path, [server.place], longest_wait=0.3)
    assert entry.status == "ok"
    first, second = server.times_of("busy")
    assert second - first >= 0.3 - SOON


def test_back_off_doubles_to_its_limit_and_begins_anew_after_a_success():
    now = [100.0]
    host = HostState(0.0, lambda: now[0])
    waits = []
    for _ in range(5):
        host.back_off(now[0], first=1.0, longest=5.0)
        waits.append(host.not_before - now[0])
        now[0] = host.not_before
    host.reset()
    host.back_off(now[0], first=1.0, longest=5.0)
    assert [*waits, host.not_before - now[0]] == [1.0, 2.0, 4.0, 5.0, 5.0, 1.0]
    until = host.not_before
    host.back_off(99.0, first=1.0, longest=500.0)  # requests sent together count once
    assert host.not_before == until


def test_a_host_that_always_fails_is_given_up(server, tmp_path):
    server.do_ill = always(503)
    urls = [f"{server.root}/ill/{index}" for index in range(50)]
    entries = crawl(urls, tmp_path, [server.place], retries=1, give_up_after=3, connections=1)
    assert server.asked.total() == 1 + 3 * 2
    assert Counter(entry.status for entry in entries) == {"failed": 50}
    assert [entry.reason for entry in entries].count("HTTP 503") == 3


def test_a_host_that_answers_now_and_then_is_not_given_up(server, tmp_path):
    async def do_moody(request):
        return web.Response(status=500 if server.asked.total() % 3 else 404)

    server.do_moody = do_moody
    urls = [f"{server.root}/moody/{index}" for index in range(30)]
    settings = {"retries": 0, "backoff": 0.0, "give_up_after": 3, "connections": 1}
    entries = crawl(urls, tmp_path, [server.place], **settings)
    assert {entry.reason for entry in entries} == {"HTTP 500", "HTTP 404"}


def test_the_next_page_waits_for_the_images_of_this_one_though_they_are_elsewhere(
    server, tmp_path
):
    def list_page(number):
        return PageRequest(f"{server.root}/list/{number}", number)

    def read(page, answer):
        places = range(30 * page.place, 30 * (page.place + 1))
        url = f"http://cdn.test:{server.port}"
        found = [ListedImage(place, page.url, f"{url}/{place}.png") for place in places]
        return ListingPage(found, [list_page(page.place + 1)] if page.place < 3 else [])

    listing = Listing()
    listing.start = lambda: ListingPage(pages=[list_page(0)])
    listing.read = read
    allowed = [server.place, f"cdn.test:{server.port}"]
    entries = crawl(listing, tmp_path, allowed, Names.here("cdn.test"), connections=2)
    assert len(entries) == 120
    order = [path for _, path in server.times if path != "robots.txt"]
    for page in range(1, 4):
        before = order[: order.index(f"list/{page}")]
        assert sum(path.endswith(".png") for path in before) >= 30 * page - 2


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (200, "User-agent: Avatar-GAN\nDisallow: /", "robots.txt"),
        (200, "User-agent: *\nDisallow: /\n\nUser-agent: avatar-gan\nAllow: /", ""),
        (200, "<html>welcome</html>", ""),
        (200, "Disallow: /x\n" * 10_000 + "User-agent: *\nDisallow: /", "robots.txt"),
        (200, "#\n" * 300_000 + "User-agent: *\nDisallow: /", ""),  # longer than what is read
        (403, "", ""),
        (503, "", "robots.txt: HTTP 503"),
        (204, "", "robots.txt: HTTP 204"),
    ],
)
def test_robots_txt_is_obeyed_and_without_one_all_or_nothing_is_allowed(
    server, tmp_path, code, text, reason
):
    server.do_robots = always(code, text)
    entries = crawl(images(server, 3), tmp_path, [server.place], retries=1)
    assert {entry.reason for entry in entries} == {reason}
    tries = 2 if code == 503 else 1
    assert server.asked["robots.txt"] == tries
    assert server.asked.total() == (tries if reason else 4)


def test_redirects_of_robots_txt_are_followed_but_to_no_private_address(server, tmp_path):
    def redirect_to(place):
        return always(302, Location=place)

    server.do_robots = redirect_to("/rules")
    server.do_rules = always(200, "User-agent: *\nDisallow: /1.png")
    entries = crawl(images(server, 3), tmp_path / "a", [server.place])
    assert [entry.status for entry in entries] == ["ok", "blocked", "ok"]
    server.do_rules = redirect_to("/rules")  # a loop allows all
    entries = crawl(images(server, 3), tmp_path / "b", [server.place])
    assert [entry.status for entry in entries] == ["ok", "ok", "ok"]
    server.asked.clear()
    server.do_robots = redirect_to(f"{server.forbidden}/robots.txt")
    entries = crawl(images(server, 2), tmp_path / "c", [server.place])
    assert [entry.status for entry in entries] == ["blocked"] * 2
    assert server.asked == {"robots.txt": 1}


def press_ctrl_c(server):
    server.was_asked.wait(60)
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("wait", ["Retry-After", "robots.txt", "delay", "answer"])
def test_ctrl_c_during_a_long_wait_ends_at_once_and_leaves_no_entry(server, tmp_path, wait):
    async def answer_late(request):
        await asyncio.sleep(600)

    settings = {"retries": 5, "timeout": 600.0}
    if wait == "delay":
        settings["delay"] = 100.0
    else:
        busy = answer_late if wait == "answer" else always(503, **{"Retry-After": "500"})
        setattr(server, "do_robots" if wait == "robots.txt" else "do_busy", busy)
    urls = [f"{server.root}/busy/{index}" for index in range(40)]
    began = time.monotonic()
    thread = threading.Thread(target=press_ctrl_c, args=[server])
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        crawl(urls, tmp_path, [server.place], **settings)
    thread.join()
    assert time.monotonic() - began < 90  # what is waited for takes 100 s and more
    with Journal(tmp_path, {"source": "test"}) as journal:
        assert list(journal.records()) == []


@pytest.mark.parametrize("message", ["line 3 is no address", "not a valid http or https address"])
def test_a_listing_that_breaks_is_an_error_and_not_the_end_of_it(server, tmp_path, message):
    def start():
        if "line" in message:
            raise GanError(message)
        return ListingPage(pages=[PageRequest("http://[::1")])

    listing = Listing()
    listing.start = start
    with pytest.raises(GanError, match=message):
        crawl(listing, tmp_path, [server.place])


@pytest.mark.parametrize("contact", ["a\rX-Evil: 1", "caf\u00e9", "a" * 201])
def test_a_contact_that_fits_into_no_header_is_one_clear_line(contact, make_params):
    values = make_params().model_dump()
    values["scrape"]["contact"] = contact
    with pytest.raises(GanError, match=r"scrape\.contact") as caught:
        parse_params(values, "params.yaml")
    assert "\n" not in str(caught.value)
