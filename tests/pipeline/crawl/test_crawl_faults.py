"""A server with every fault: each address ends as one right entry, and the crawl ends."""

import asyncio
import datetime
import errno
import gzip
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import brotli
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fault_server import Names, Server, crawl
from local_server import SHIPPED, picture
from picture_files import png_of
from scrapy.exceptions import IgnoreRequest

from gan.errors import GanError
from pipeline.crawl.http.failure_reasons import explain
from pipeline.crawl.storage.journal import IMAGES, JOURNAL

LIMIT = 2**20
ZEROS = bytes(60 * 2**20)
NOT_PUBLIC = ("blocked", "its host's address is not public")
A_PAGE = ("failed", "an HTML page; the site may refuse direct requests")
TOO_LARGE = ("too_large", f"over {LIMIT} bytes")
TIMED_OUT = ("failed", "timed out")
TOO_FAR = ("blocked", "too many redirects")
NO_ADDRESS = ("blocked", "not a valid http or https address")
OK = ("ok", "")


class Faults(Server):
    async def open(self):
        await super().open()
        self.tls_port = await self.listen("127.0.0.1", ssl_context=self.tls)
        for name, talk in TALKS.items():
            setattr(self, f"{name}_port", await self.raw(after_robots(talk)))
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            self.closed_port = nobody.getsockname()[1]

    async def answer(self, request):
        stem = self.path_of(request).partition(".")[0].partition("/")[0]
        found = ANSWERS.get(stem)
        if found is None:
            return await super().answer(request)
        headers = {name: text.format(**vars(self)) for name, text in found["headers"].items()}
        return web.Response(**{**found, "headers": headers})

    async def do_once_broken(self, request):
        if self.asked["once-broken.png"] == 1:
            raise web.HTTPInternalServerError
        return web.Response(body=picture(20))

    async def do_wall(self, request):
        if "pass" in request.cookies:
            return web.Response(body=picture())
        raise web.HTTPFound("/wall.png", headers={"Set-Cookie": "pass=1; Path=/"})


def fixed(status=200, body=b"", **headers):
    """An answer that is always the same; headers may name a port of the server."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return {"status": status, "body": body, "headers": named}


ZIPPED_ZEROS = gzip.compress(ZEROS, 1)
ANSWERS = {
    "missing": fixed(404),
    "secret": fixed(403),
    "broken": fixed(500),
    "html": fixed(body=b"<html>log in</html>", Content_Type="image/jpeg"),
    "truncated": fixed(body=picture(kind="JPEG", size=(200, 200))[:700]),
    "declared": fixed(body=bytes(50 * 2**20)),
    "gzip-bomb": fixed(Content_Encoding="gzip", body=ZIPPED_ZEROS),
    "deflate-bomb": fixed(Content_Encoding="deflate", body=zlib.compress(ZEROS, 1)),
    "brotli-bomb": fixed(Content_Encoding="br", body=brotli.compress(ZEROS, quality=1)),
    "double-bomb": fixed(Content_Encoding="gzip, gzip", body=gzip.compress(ZIPPED_ZEROS)),
    "bad-gzip": fixed(Content_Encoding="gzip", body=b"no gzip"),
    "bad-deflate": fixed(Content_Encoding="deflate", body=b"no deflate"),
    "bad-brotli": fixed(Content_Encoding="br", body=b"no brotli"),
    "zipped": fixed(Content_Encoding="gzip", body=gzip.compress(picture(40))),
    "pixel-bomb": fixed(body=png_of(30_000, 30_000)),
    "loop": fixed(302, Location="/loop.png"),
    "moved": fixed(302, Location="http://cdn.test:{port}/elsewhere.png"),
    "to-forbidden": fixed(301, Location="http://internal.test:{forbidden_port}/secret.png"),
    "to-private": fixed(302, Location="/private/2.png"),
    "to-file": fixed(302, Location="file:///etc/passwd"),
    "to-nonsense": fixed(302, Location="http://[::1/a.png"),
    "named": fixed(body=picture(60), Content_Disposition="attachment; filename=../../../evil.png"),
}


RESET = None  # in place of a head
NOTHING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
SUCCESS = b"HTTP/1.1 200 OK\r\n"


def after_robots(answer):
    """A raw server that has no robots.txt, and gives a wrong answer to the next request."""

    async def serve(reader, writer):
        if b"/robots.txt" in await reader.readuntil(b"\r\n\r\n"):
            await send(writer, NOTHING)
        else:
            await send(writer, *answer)

    return serve


async def send(writer, head=b"", more=b"", count=1, pause=0.0):
    """Send a head, then more of it so many times; or nothing but the connection's reset."""
    if head is RESET:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return
    writer.write(head)
    for _ in range(count):
        writer.write(more)
        await writer.drain()
        await asyncio.sleep(pause)


TALKS = {
    "mute": (b"", b"", 1, 60),
    "reset": (RESET,),
    "garbage": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n",),
    "headers": (SUCCESS, b"X-More: " + b"a" * 4000 + b"\r\n", 10_000),
    "closing": (),
    "slow_head": (SUCCESS + b"X-Slow: ", b"a", 1000, 0.02),
    "slow_body": (SUCCESS + b"Content-Length: 100000\r\n\r\n", b"a", 1000, 0.02),
    "short": (SUCCESS + b"Content-Length: 5000\r\n\r\n", picture()),
    "chunks": (SUCCESS + b"Transfer-Encoding: chunked\r\n\r\n8\r\n", bytes(8)),
    "undeclared": (SUCCESS + b"\r\n", bytes(2**20), 50),
}


def self_signed(folder):
    """A certificate for 127.0.0.1 that no authority signed, and the server's half of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    names = x509.SubjectAlternativeName([x509.DNSName("tls.test")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    public, private = folder / "public.pem", folder / "private.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


NAMES = {
    **{key: [["127.0.0.1"]] for key in ("cdn.test", "tls.test", "localhost")},
    **{key: [["127.0.0.3"]] for key in ("internal.test", "0x7f000003")},
    "mixed.test": [["8.8.8.8", "127.0.0.3"]],
    "six.test": [["::1"]],
}

OUTCOMES = {
    "{root}/missing.png": ("gone", "HTTP 404"),
    "{root}/once-broken.png": OK,
    "{root}/truncated.png": ("bad", "damaged: image file is truncated"),
    "{root}/html.png": A_PAGE,
    "{root}/pixel-bomb.png": ("too_large", "30000x30000 pixels, over 40000000"),
    "{root}/moved.png": OK,
    "{root}/loop.png": TOO_FAR,
    "{root}/to-forbidden.png": NOT_PUBLIC,
    "{forbidden}/secret.png": NOT_PUBLIC,
    "http://localhost:{port}/secret.png": NOT_PUBLIC,
    "file:///etc/passwd": NO_ADDRESS,
    "{root}/private/1.png": ("blocked", "robots.txt"),
    "{root}/secret.png": ("blocked", "HTTP 403"),
    "{root}/broken.png": ("failed", "HTTP 500"),
    # sizes and encodings
    "{root}/declared.png": TOO_LARGE,
    "{root}/gzip-bomb.png": TOO_LARGE,
    "{root}/deflate-bomb.png": TOO_LARGE,
    "{root}/brotli-bomb.png": TOO_LARGE,
    "{root}/double-bomb.png": TOO_LARGE,
    "{root}/bad-gzip.png": ("bad", "damaged: its compression"),
    "{root}/bad-deflate.png": ("bad", "damaged: its compression"),
    "{root}/bad-brotli.png": ("bad", "damaged: its compression"),
    "{root}/zipped.png": OK,
    "http://127.0.0.1:{slow_head_port}/a.png": TIMED_OUT,
    "http://127.0.0.1:{slow_body_port}/a.png": TIMED_OUT,
    "http://127.0.0.1:{mute_port}/a.png": TIMED_OUT,
    "http://127.0.0.1:{reset_port}/a.png": ("failed", "connection reset"),
    "http://127.0.0.1:{garbage_port}/a.png": ("failed", "no valid HTTP answer"),
    "http://127.0.0.1:{headers_port}/a.png": ("failed", "no valid HTTP answer"),
    "http://127.0.0.1:{short_port}/a.png": ("failed", "body ended early"),
    "http://127.0.0.1:{chunks_port}/a.png": ("failed", "body ended early"),
    "http://127.0.0.1:{undeclared_port}/a.png": TOO_LARGE,
    "http://127.0.0.1:{closing_port}/a.png": ("failed", "connection closed without an answer"),
    "http://127.0.0.1:{closed_port}/a.png": ("failed", "robots.txt: connection refused"),
    "http://nowhere.test/a.png": ("failed", "robots.txt: host not found"),
    "https://tls.test:{tls_port}/a.png": ("failed", "robots.txt: TLS certificate not trusted"),
    "https://127.0.0.1:{port}/a.png": ("failed", "robots.txt: TLS failed"),
    # redirects
    "{root}/wall.png": TOO_FAR,
    "{root}/to-private.png": ("blocked", "robots.txt"),
    "{root}/to-file.png": ("blocked", "HTTP 302, not followed"),
    "{root}/to-nonsense.png": NO_ADDRESS,
    "http://internal.test:{forbidden_port}/a.png": NOT_PUBLIC,
    "http://mixed.test:{forbidden_port}/a.png": NOT_PUBLIC,
    "http://six.test:{six_port}/a.png": NOT_PUBLIC,
    # private addresses in many spellings
    "http://2130706435:{forbidden_port}/decimal.png": NOT_PUBLIC,
    "http://0x7f000003:{forbidden_port}/hex.png": NOT_PUBLIC,
    "http://[::ffff:127.0.0.3]:{forbidden_port}/mapped.png": NOT_PUBLIC,
    "http://[::1]:{six_port}/six.png": NOT_PUBLIC,
    "http://[fe80::1%25lo]:{six_port}/zone.png": NOT_PUBLIC,
    "http://①②⑦.⓪.⓪.③:{forbidden_port}/round.png": NOT_PUBLIC,
    "http://127%2e0%2e0%2e3:{forbidden_port}/percent.png": NOT_PUBLIC,
    "http://134744072/public.png": NO_ADDRESS,
    # addresses that are none
    "http://user@127.0.0.1:{port}/a.png": ("blocked", "an address with a user name or password"),
    "ftp://127.0.0.1/a.png": NO_ADDRESS,
    "http://[::1/a.png": NO_ADDRESS,
    "http:///a.png": NO_ADDRESS,
    "http://127.0.0.1:99999/a.png": NO_ADDRESS,
    "http://a..b/a.png": ("failed", "robots.txt: host not found"),
    # names of files
    "{root}/../../../escape.png": OK,
    "{root}/named.png": OK,
    "{root}/long-{long}.png": OK,
}


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    """One crawl of all faults: url template -> entry; the server; the folder it wrote into."""
    folder = tmp_path_factory.mktemp("faults")
    server = Faults()
    server.tls, _ = self_signed(tmp_path_factory.mktemp("keys"))
    with server:
        ports = {value for name, value in vars(server).items() if name.endswith("port")}
        ports -= {server.forbidden_port, server.six_port}
        allowed = [f"127.0.0.1:{port}" for port in ports]
        allowed += [f"cdn.test:{server.port}", f"tls.test:{server.tls_port}"]

        def crawl_those(templates, name, timeout):
            urls = [each.format(**vars(server), long="x" * 3000) for each in templates]
            settings = {"retries": 1, "give_up_after": 1000, "max_bytes": LIMIT}
            settings["timeout"] = timeout
            entries = crawl(urls, folder / name, allowed, Names(NAMES), **settings)
            assert [entry.url for entry in entries] == urls
            return dict(zip(templates, entries, strict=True))

        slow = [each for each in OUTCOMES if OUTCOMES[each] == TIMED_OUT]
        others = [each for each in OUTCOMES if each not in slow]
        entries = crawl_those(others, "crawl", 30.0) | crawl_those(slow, "slow", 0.3)
        yield entries, server, folder


@pytest.mark.slow
@pytest.mark.parametrize("template", OUTCOMES)
def test_each_fault_ends_as_its_own_entry(faults, template):
    entry, (status, reason) = faults[0][template], OUTCOMES[template]
    assert entry.status == status, entry.reason
    assert entry.reason.startswith(reason)
    assert bool(entry.sha256) == (status == "ok") == (not entry.reason)


@pytest.mark.slow
def test_no_forbidden_address_was_requested_and_no_name_of_a_server_written(faults):
    entries, server, folder = faults
    for path in ("forbidden", "private/1.png", "private/2.png"):
        assert server.asked[path] == 0
    assert server.asked["wall.png"] == 6  # redirects end at their limit
    assert "Cookie" not in server.headers["wall.png"]
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    files = {f"{crawl}/{name}" for crawl in ("crawl", "slow") for name in (JOURNAL, IMAGES)}
    assert written == {"crawl", "slow", *files}
    assert [*folder.parent.rglob("*escape.png"), *folder.parent.rglob("evil.png")] == []
    for entry in entries.values():  # nor does a reason name a port, class or address
        assert not re.search(rf"Error|127\.0\.0|{server.port}|\n", entry.reason)


def test_a_trusted_certificate_is_accepted(server, tmp_path, monkeypatch):
    context, public = self_signed(tmp_path)
    port = server.call(server.listen("127.0.0.1", ssl_context=context))
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    allowed = [f"tls.test:{port}"]
    [entry] = crawl([f"https://tls.test:{port}/a.png"], tmp_path / "crawl", allowed, Names(NAMES))
    assert (entry.status, entry.reason) == ("ok", "")


@pytest.mark.parametrize("redirects", [0, 2])
def test_the_number_of_redirects_is_a_parameter(server, tmp_path, redirects):
    async def do_hop(request):
        if left := int(request.path.removeprefix("/hop/")):
            raise web.HTTPFound(f"/hop/{left - 1}")
        return web.Response(body=picture())

    server.do_hop = do_hop
    urls = [f"{server.root}/hop/{redirects}", f"{server.root}/hop/{redirects + 1}"]
    entries = crawl(urls, tmp_path, [server.place], redirects=redirects)
    assert [entry.status for entry in entries] == ["ok", "blocked"]


@pytest.mark.parametrize("name", ["mute", "reset", "slow_head"])
def test_a_host_that_never_answers_ends_the_crawl(server, tmp_path, name):
    asked = []

    async def serve(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        await send(writer, *TALKS[name])

    port = server.call(server.raw(serve))
    urls = [f"http://127.0.0.1:{port}/{index}.png" for index in range(30)]
    entries = crawl(urls, tmp_path, [f"127.0.0.1:{port}"], timeout=0.3, retries=1)
    assert len(asked) <= 4  # robots.txt and one retry of it, each tried again by aiohttp
    assert {entry.status for entry in entries} == {"failed"}
    assert {entry.reason.partition(": ")[0] for entry in entries} == {"robots.txt"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_error_stops_the_crawl_and_is_named(server, tmp_path, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    urls = [f"{server.root}/{index}.png" for index in range(200)]
    with pytest.raises(GanError, match=os.strerror(number)) as caught:
        crawl(urls, tmp_path, [server.place], log=fail)
    assert ("make room" in str(caught.value)) == (number == errno.ENOSPC)
    assert server.asked.total() < 100


MEASURE = """
import json, re, sys
from pathlib import Path
from fault_server import crawl
root, allowed, folder = sys.argv[1:]
def peak_after(path):
    [entry] = crawl([root + path], Path(folder) / path[1:], [allowed])
    # not ru_maxrss: a child begins with the peak of the process that started it
    peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
    return entry.status, int(peak[1])
paths = ("/fine", "/gzip-bomb", "/deflate-bomb", "/brotli-bomb")
print(json.dumps([peak_after(path) for path in paths]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells a process's peak")
def test_a_bomb_takes_no_more_memory_than_three_times_the_limit(tmp_path):
    server = Faults()
    server.tls, _ = self_signed(tmp_path)
    with server:
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, server.root, server.place, str(tmp_path)],
            cwd=Path(__file__).resolve().parents[2] / "support",
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[3])},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    (fine, before), *bombs = json.loads(done.stdout)
    assert fine == "ok"
    for status, peak in bombs:
        assert status == "too_large"
        assert (peak - before) * 1024 < 3 * SHIPPED["max_bytes"], (before, peak)


def test_any_other_error_has_a_reason_without_a_class_name():
    for error in (RuntimeError("boom at 0x7f"), IgnoreRequest("by <object at 0x7f>")):
        assert re.fullmatch("[a-z ]+", explain(error, 10)[1])
