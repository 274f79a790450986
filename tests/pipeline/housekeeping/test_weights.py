"""`gan weights`: the right file is complete in weights/, or none is; with bad connections too."""

import hashlib
import http.server
import os
import signal
import socket
import threading
from dataclasses import dataclass, field

import pytest
import torch
from tracking_stores import until

from gan.errors import GanError
from gan.features import inception
from pipeline.features.inception_file import NAME, weights_file
from pipeline.housekeeping import weights
from pipeline.housekeeping.weights import OFFICIAL_SHA256, add, fetch, hub_file, show
from pipeline.paths import Paths

CONTENT = os.urandom(2_400_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = bytes(reversed(CONTENT))
PARTIAL = f".partial-{SHA256[:16]}"
CUT = 1_000_000


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path / "checkout")


@pytest.fixture(autouse=True)
def _isolated(tmp_path, monkeypatch):
    """Without proxies, the machine's torch cache and pauses."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(weights, "TIMEOUTS_S", (1.0, 0.2))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "brought.pth"
    path.write_bytes(CONTENT)
    return path


@dataclass
class Answer:
    """One answer of the server."""

    content: bytes = CONTENT
    status: int = 200
    ends_after: int | None = None  # bytes of this answer
    hangs: bool = False  # instead of closing the connection
    ranges: bool = True
    with_length: bool = True


@dataclass
class Server:
    """Gives its answers in turn, the last one repeatedly, and keeps what was asked."""

    address: str = ""
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    starts: list[int] = field(default_factory=list)  # first bytes of the ranges
    paths: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    answering: threading.Event = field(default_factory=threading.Event)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Server

    def log_message(self, *_):
        pass

    def do_GET(self):
        script, self.close_connection = self.script, True
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        script.starts.append(start)
        script.paths.append(self.path)
        script.answering.set()
        answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
        if answer.status != 200:
            self.send_error(answer.status)
            return
        size, start = len(answer.content), start if answer.ranges else 0
        body = answer.content[start:]
        self.send_response(416 if start >= size else 206 if start else 200)
        self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if answer.with_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: answer.ends_after])
        self.wfile.flush()
        if answer.hangs:
            script.closing.wait(10)


@pytest.fixture
def server():
    server = Server()
    handler = type("ScriptedHandler", (Handler,), {"script": server})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        server.address = f"http://127.0.0.1:{listening.server_port}/weights.pth"
        yield server
        server.closing.set()
        listening.shutdown()
        thread.join()


def names_in(paths):
    return sorted(path.name for path in paths.weights.iterdir())


def failure(*arguments, **options):
    """The one line of a fetch that fails."""
    with pytest.raises(GanError) as caught:
        fetch(*arguments, **options)
    assert "\n" not in str(caught.value)
    assert "gan weights add FILE" in str(caught.value)
    return str(caught.value)


def test_the_right_file_is_copied_and_stays_when_a_wrong_one_is_refused(
    file, paths, tmp_path, capsys
):
    add(file, paths, SHA256)
    add(weights_file(paths), paths, SHA256)  # in place
    assert "dvc repro" in capsys.readouterr().err
    wrong = tmp_path / "wrong.pth"
    wrong.write_bytes(CONTENT[:-1])
    with pytest.raises(GanError, match=r"features\.inception_sha256"):
        add(wrong, paths, SHA256)
    with pytest.raises(GanError, match=str(tmp_path)):
        add(tmp_path, paths, SHA256)
    assert weights_file(paths).read_bytes() == CONTENT
    assert names_in(paths) == [NAME]


@pytest.mark.parametrize(
    ("partial", "answers", "asked"),
    [
        (b"", [Answer(ends_after=CUT)] * 2, [0, CUT, 2 * CUT]),
        (b"", [Answer(content=OTHER, ends_after=CUT), Answer(ranges=False)], [0, CUT]),
        (OTHER[:CUT], [], [CUT, 0]),  # of another file
        (CONTENT, [], [len(CONTENT)]),
        (CONTENT + b"more", [], [len(CONTENT) + 4, 0]),
    ],
)
def test_a_download_is_resumed_until_it_has_the_right_digest(
    paths, server, partial, answers, asked
):
    paths.weights.mkdir(parents=True)
    (paths.weights / PARTIAL).write_bytes(partial)
    server.answers = [*answers, Answer()]
    fetch(paths, SHA256, server.address)
    assert weights_file(paths).read_bytes() == CONTENT
    assert names_in(paths) == [NAME]
    # a piece is lost with each end
    assert server.starts == pytest.approx(asked, abs=2 * weights.CHUNK)
    fetch(paths, SHA256, server.address)
    assert len(server.starts) == len(asked)


def test_received_bytes_are_kept_and_the_next_command_resumes(paths, server):
    server.answers = [Answer(ends_after=300_000), Answer(status=503)]
    assert "503" in failure(paths, SHA256, server.address)
    assert names_in(paths) == [PARTIAL]
    received = (paths.weights / PARTIAL).stat().st_size
    assert received > 300_000 - weights.CHUNK
    server.answers = [Answer()]
    fetch(paths, SHA256, server.address)
    assert server.starts[-1] == received


def test_a_file_with_another_digest_is_removed(paths, server):
    assert SHA256 in failure(paths, "0" * 64, server.address)
    assert len(server.starts) == 1
    server.answers = [Answer(with_length=False, ends_after=CUT)]  # which seems to be whole
    failure(paths, SHA256, server.address)
    assert names_in(paths) == []
    server.answers = [Answer(with_length=False)]
    fetch(paths, SHA256, server.address)
    assert weights_file(paths).read_bytes() == CONTENT


@pytest.mark.parametrize("after", [0, 300_000])
def test_a_server_that_hangs_is_given_up(paths, server, after):
    server.answers = [Answer(ends_after=after, hangs=True), Answer(ends_after=0, hangs=True)]
    assert "timed out" in failure(paths, SHA256, server.address)
    assert not weights_file(paths).exists()


def test_without_a_server_one_line_names_the_reason(paths, monkeypatch):
    def unknown(*_, **__):  # no look-up leaves this machine
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for url, words in (
        ("http://127.0.0.1:9/weights.pth", "Connection refused"),
        ("http://[1/weights.pth", "not a valid address"),
        ("http://weights.invalid./w.pth", "Name or service not known"),
    ):
        if "invalid." in url:
            monkeypatch.setattr(socket, "getaddrinfo", unknown)
        assert words in failure(paths, SHA256, url)
    assert not weights_file(paths).exists()


def test_a_refusal_is_an_error_at_once_that_shows_no_password(paths, server, capsys):
    server.answers = [Answer(status=403)]
    url = server.address.replace("http://", "http://me:secret@") + "?token=secret"
    message = failure(paths, SHA256, url)
    assert "403" in message
    assert "secret" not in message + capsys.readouterr().err
    assert server.paths == ["/weights.pth?token=secret"]


def test_two_downloads_at_once_do_not_write_the_same_file(paths, server):
    server.answers = [Answer(ends_after=CUT, hangs=True), Answer()]
    thread = threading.Thread(target=fetch, args=(paths, SHA256, server.address))
    thread.start()
    assert server.answering.wait(60)
    with pytest.raises(GanError, match=str(paths.weights)):
        fetch(paths, SHA256, server.address)
    thread.join()
    assert weights_file(paths).read_bytes() == CONTENT
    assert names_in(paths) == [NAME]


def test_a_file_in_torch_s_cache_is_copied_if_it_is_the_right_one(paths, server):
    hub_file().parent.mkdir(parents=True)
    hub_file().write_bytes(CONTENT)
    paths.weights.mkdir(parents=True)
    (paths.weights / PARTIAL).write_bytes(CONTENT[:CUT])
    fetch(paths, SHA256, server.address)
    assert server.starts == []
    assert weights_file(paths).read_bytes() == CONTENT
    assert names_in(paths) == [NAME]
    weights_file(paths).unlink()
    hub_file().write_bytes(OTHER)
    fetch(paths, SHA256, server.address)
    assert hub_file().read_bytes() == OTHER
    assert weights_file(paths).read_bytes() == CONTENT


def test_the_path_of_torch_s_cache_is_torch_s(monkeypatch):
    monkeypatch.delenv("TORCH_HOME")
    for name, value in (("XDG_CACHE_HOME", "/x/cache"), ("TORCH_HOME", "~/t")):
        monkeypatch.setenv(name, value)
        assert str(hub_file()) == f"{torch.hub.get_dir()}/checkpoints/{NAME}"


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")
def test_the_table_names_right_wrong_absent_partial_and_torchscript_files(
    file, paths, server, make_params, capsys, monkeypatch
):
    def table(**features):
        changes = {f"features.{name}": value for name, value in features.items()}
        show(paths, make_params(changes).features)
        _, *lines = capsys.readouterr().out.splitlines()
        return {line.split()[0]: " ".join(line.split()[1:]) for line in lines}

    assert inception.OFFICIAL_SHA256 == OFFICIAL_SHA256
    server.answers = [Answer(ends_after=300_000), Answer(status=503)]
    failure(paths, SHA256, server.address)
    torch.jit.script(torch.nn.Linear(2, 2)).save(paths.weights / "clip.pt")
    torch.save({"weight": torch.zeros(2)}, paths.weights / "state.pt")
    (paths.weights / "note.ts").write_text("no archive")
    lines = table(extractors=["lite0", "clip.pt", "none.pt"])
    assert lines[NAME].startswith("- - absent: `gan weights fetch`")
    assert "partial" in lines[PARTIAL]
    assert lines["clip.pt"].endswith("TorchScript; features.extractors names it")
    for name in ("state.pt", "note.ts"):
        assert lines[name].endswith("not TorchScript; unused")
    assert lines["none.pt"].startswith("- - absent: features.extractors names it")
    assert len(lines) == 6

    add(file, paths, SHA256)
    capsys.readouterr()
    line = table(inception_sha256=SHA256)[NAME]
    assert line.startswith(f"2.4 {SHA256[:8]} ")
    assert f"fd_inception_{SHA256[:8]}" in line
    assert "wrong" in table(inception_sha256=OFFICIAL_SHA256)[NAME]
    monkeypatch.setattr(weights, "OFFICIAL_SHA256", SHA256)
    assert "pytorch-fid" in table(inception_sha256=SHA256)[NAME]


@pytest.mark.slow
def test_ctrl_c_loses_nothing_and_the_same_command_resumes(gan, write_params, tmp_path, server):
    write_params(tmp_path / "params.yaml", {"features.inception_sha256": SHA256})
    (tmp_path / "torch.py").write_text("raise ImportError('the commands need no torch')")
    server.answers = [Answer(ends_after=CUT, hangs=True), Answer()]
    process = gan("weights", "fetch", "--url", server.address, wait=False)
    partial = tmp_path / "weights" / PARTIAL
    until(lambda: partial.is_file() and partial.stat().st_size > CUT - weights.CHUNK)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in message
    assert gan("weights", "fetch", "--url", server.address).returncode == 0
    assert server.starts[1] > 0
    assert weights_file(Paths(tmp_path)).read_bytes() == CONTENT
    done = gan("weights", "list")
    assert done.returncode == 0, done.stderr
    assert NAME in done.stdout
