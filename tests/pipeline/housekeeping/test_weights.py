"""Inception's file is brought to its place whole and right, or not at all, over a bad line too."""

import hashlib
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass, field

import pytest
import torch

from gan.errors import GanError
from gan.features import inception
from pipeline.features.inception_file import NAME, missing_message, weights_file
from pipeline.housekeeping import download
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
def _alone_in_the_world(tmp_path, monkeypatch):
    """No proxy, no torch cache of this machine, and no waiting."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(download, "PAUSES_S", (0.01, 0.01))
    monkeypatch.setattr(download, "TIMEOUTS_S", (1.0, 0.2))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "brought.pth"
    path.write_bytes(CONTENT)
    return path


@dataclass
class Answer:
    """How the server answers once."""

    content: bytes = CONTENT
    status: int = 200
    ends_after: int | None = None  # bytes of this answer
    hangs: bool = False  # instead of closing the connection
    ranges: bool = True
    tag: str | None = '"one"'
    says_length: bool = True
    last_modified: str | None = None


@dataclass
class Server:
    """Answers in turn, the last one for ever, and keeps what it was asked."""

    address: str = ""
    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    asked: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def take(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    said: Server

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.said.asked.append({key.lower(): value for key, value in self.headers.items()})
        self.said.paths.append(self.path)
        self.close_connection = True
        answer = self.said.take()
        if answer.status != 200:
            self.send_error(answer.status)
            return
        body = self.head(answer)
        self.wfile.write(body[: answer.ends_after])
        self.wfile.flush()
        if answer.hangs:
            self.said.closing.wait(10)

    def head(self, answer):
        """Status and headers; returns the bytes to send."""
        start, size = self.start(answer), len(answer.content)
        if start is not None and start >= size:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            body = b""
        elif start is not None:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            body = answer.content[start:]
        else:
            self.send_response(200)
            body = answer.content
        for name, value in (("ETag", answer.tag), ("Last-Modified", answer.last_modified)):
            if value:
                self.send_header(name, value)
        if answer.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return body

    def start(self, answer):
        asked = self.headers.get("Range")
        if not asked or not answer.ranges:
            return None
        known = self.headers.get("If-Range")
        if known and known not in (answer.tag, answer.last_modified):
            return None
        return int(asked.removeprefix("bytes=").removesuffix("-"))


@pytest.fixture
def server():
    said = Server()
    handler = type("Said", (Handler,), {"said": said})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        said.address = f"http://127.0.0.1:{listening.server_port}/weights.pth"
        yield said
        said.closing.set()
        listening.shutdown()
        thread.join()


def left_in(paths):
    return sorted(path.name for path in paths.weights.iterdir())


def failed(*arguments, **options):
    """The one line of a fetch that fails."""
    with pytest.raises(GanError) as caught:
        fetch(*arguments, **options)
    assert "\n" not in str(caught.value)
    assert "gan weights add FILE" in str(caught.value)
    return str(caught.value)


def test_the_right_file_is_copied_to_its_place_and_said_so(file, paths, capsys):
    add(file, paths, SHA256)
    assert weights_file(paths).read_bytes() == CONTENT
    assert left_in(paths) == [NAME]
    assert "dvc repro" in capsys.readouterr().err


def test_adding_the_file_that_is_already_in_place_keeps_it(file, paths):
    add(file, paths, SHA256)
    add(weights_file(paths), paths, SHA256)
    assert weights_file(paths).read_bytes() == CONTENT


def test_a_wrong_file_is_refused_and_the_old_one_stays(file, paths, tmp_path):
    add(file, paths, SHA256)
    wrong = tmp_path / "wrong.pth"
    wrong.write_bytes(CONTENT[:-1])
    with pytest.raises(GanError, match=r"sha256 is .* but features\.inception_sha256"):
        add(wrong, paths, SHA256)
    assert weights_file(paths).read_bytes() == CONTENT
    assert left_in(paths) == [NAME]


def test_an_absent_file_and_a_folder_are_refused(paths, tmp_path):
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(GanError, match="no such file"):
            add(path, paths, SHA256)


def test_a_file_where_the_folder_should_be_is_one_clear_line(file, paths, server):
    paths.root.mkdir()
    paths.weights.write_text("in the way")
    with pytest.raises(GanError, match=r"weights.*cannot be written"):
        add(file, paths, SHA256)
    with pytest.raises(GanError, match="weights: cannot be used"):
        fetch(paths, SHA256, server.address)
    assert paths.weights.read_text() == "in the way"


def test_weights_are_fetched_and_checked(paths, server, capsys):
    fetch(paths, SHA256, server.address)
    assert weights_file(paths).read_bytes() == CONTENT
    assert left_in(paths) == [NAME]
    assert "range" not in server.asked[0]
    fetch(paths, SHA256, server.address)
    assert len(server.asked) == 1
    assert "it is there already" in capsys.readouterr().err


def test_a_cut_connection_is_gone_on_with_at_once_where_it_ended(paths, server, capsys):
    server.answers = [Answer(ends_after=CUT), Answer()]
    fetch(paths, SHA256, server.address)
    assert weights_file(paths).read_bytes() == CONTENT
    assert left_in(paths) == [NAME]
    start = int(server.asked[1]["range"].removeprefix("bytes=").removesuffix("-"))
    assert CUT - download.CHUNK <= start <= CUT
    assert server.asked[1]["if-range"] == '"one"'
    assert "of 2,400,000 bytes; trying again" in capsys.readouterr().err


def test_what_has_come_is_kept_and_the_next_command_goes_on(paths, server):
    server.answers = [Answer(ends_after=300_000)]
    told = failed(paths, SHA256, server.address)
    assert "the connection ended after" in told
    assert "of 2,400,000 bytes; run the same command again, it goes on" in told
    assert len(server.asked) == 1 + len(download.PAUSES_S)
    assert PARTIAL in left_in(paths)
    assert NAME not in left_in(paths)
    came = (paths.weights / PARTIAL).stat().st_size
    assert came > 3 * (300_000 - download.CHUNK)
    server.answers = [Answer()]
    fetch(paths, SHA256, server.address)
    assert server.asked[-1]["range"] == f"bytes={came}-"
    assert weights_file(paths).read_bytes() == CONTENT
    assert left_in(paths) == [NAME]


@pytest.mark.parametrize(
    "later",
    [
        Answer(ranges=False),
        Answer(tag='"two"'),
        Answer(tag=None, last_modified="Mon, 01 Jan 2024 00:00:00 GMT"),
    ],
    ids=["knows no ranges", "has another version", "names versions otherwise"],
)
def test_a_server_that_cannot_go_on_sends_all_again(paths, server, later):
    server.answers = [Answer(content=OTHER, ends_after=CUT), later]
    fetch(paths, SHA256, server.address)
    assert "range" in server.asked[1]
    assert weights_file(paths).read_bytes() == CONTENT


def test_a_weak_tag_is_no_version_but_the_date_is(paths, server):
    date = "Mon, 01 Jan 2024 00:00:00 GMT"
    server.answers = [Answer(tag='W/"x"', last_modified=date, ends_after=CUT), Answer(tag=date)]
    fetch(paths, SHA256, server.address)
    assert server.asked[1]["if-range"] == date
    assert weights_file(paths).read_bytes() == CONTENT


def test_a_mirror_goes_on_with_what_another_server_began(paths, server, file):
    paths.weights.mkdir(parents=True)
    (paths.weights / PARTIAL).write_bytes(CONTENT[:CUT])
    (paths.weights / f"{PARTIAL}.tag").write_text('of another address\n"two"\n')
    fetch(paths, SHA256, server.address)
    assert server.asked[0]["range"] == f"bytes={CUT}-"
    assert "if-range" not in server.asked[0]
    assert weights_file(paths).read_bytes() == CONTENT


def test_parts_that_do_not_belong_together_are_thrown_away_and_fetched_again(paths, server):
    paths.weights.mkdir(parents=True)
    (paths.weights / PARTIAL).write_bytes(OTHER[:CUT])
    fetch(paths, SHA256, server.address)
    assert "range" not in server.asked[1]
    assert weights_file(paths).read_bytes() == CONTENT


@pytest.mark.parametrize("lying", [CONTENT, CONTENT + b"and more"], ids=["whole", "too long"])
def test_a_partial_file_with_nothing_missing_ends_well(paths, server, lying):
    paths.weights.mkdir(parents=True)
    (paths.weights / PARTIAL).write_bytes(lying)
    fetch(paths, SHA256, server.address)
    assert weights_file(paths).read_bytes() == CONTENT
    assert left_in(paths) == [NAME]
    assert len(server.asked) == (1 if lying == CONTENT else 2)


def test_a_fetched_file_with_another_digest_leaves_nothing(paths, server):
    told = failed(paths, "0" * 64, server.address)
    assert f"sha256 is {SHA256}, but features.inception_sha256" in told
    assert left_in(paths) == []
    assert len(server.asked) == 1


def test_a_short_answer_of_unknown_length_is_found_by_its_digest(paths, server):
    server.answers = [Answer(says_length=False, ends_after=CUT)]
    assert "sha256" in failed(paths, SHA256, server.address)
    assert left_in(paths) == []
    server.answers = [Answer(says_length=False)]
    fetch(paths, SHA256, server.address)
    assert weights_file(paths).read_bytes() == CONTENT


def test_an_absent_file_is_told_at_once_and_an_overloaded_server_asked_again(paths, server):
    server.answers = [Answer(status=404)]
    assert "404 Not Found" in failed(paths, SHA256, server.address)
    assert len(server.asked) == 1
    server.answers = [Answer(status=503), Answer()]
    fetch(paths, SHA256, server.address)
    assert weights_file(paths).read_bytes() == CONTENT


@pytest.mark.parametrize("after", [0, 300_000])
def test_a_server_that_hangs_is_not_waited_for(paths, server, after):
    server.answers = [Answer(ends_after=after, hangs=True)]
    begin = time.monotonic()
    told = failed(paths, SHA256, server.address)
    assert "nothing came for too long" in told
    assert time.monotonic() - begin < 5
    assert weights_file(paths).exists() is False


def test_a_server_that_takes_the_request_and_says_nothing_is_not_waited_for(paths):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/weights.pth"
        assert "no answer for too long" in failed(paths, SHA256, url)


def test_a_server_that_goes_away_is_asked_again(paths, server, monkeypatch):
    """It was there a moment ago, so it may come back."""
    server.answers = [Answer(ends_after=CUT)]
    send = download.requests.Session.get
    free = socket.create_server(("127.0.0.1", 0))
    nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    free.close()

    def moved(session, url, **options):
        return send(session, url if not server.asked else nobody, **options)

    monkeypatch.setattr(download.requests.Session, "get", moved)
    told = failed(paths, SHA256, server.address)
    assert "Connection refused; run the same command again, it goes on" in told
    assert (paths.weights / PARTIAL).stat().st_size >= CUT - download.CHUNK


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9/weights.pth", "Connection refused"),
        ("no address", "invalid url"),
        ("ftp://127.0.0.1/weights.pth", "invalid schema"),
        ("http://", "invalid url"),
        ("http://[1/weights.pth", "cannot be fetched"),
        ("http://weights.invalid./w.pth", "cannot be fetched"),
    ],
)
def test_without_a_server_one_line_says_how_to_bring_the_file(paths, url, words, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    if "invalid." in url:  # no look-up leaves this machine
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    begin = time.monotonic()
    assert words in failed(paths, SHA256, url)
    assert time.monotonic() - begin < 2
    assert not weights_file(paths).exists()


def test_passwords_in_an_address_are_not_shown(paths, server, capsys):
    server.answers = [Answer(status=403)]
    url = server.address.replace("http://", "http://me:secret@") + "?token=secret"
    assert "secret" not in failed(paths, SHA256, url) + capsys.readouterr().err
    assert server.paths == ["/weights.pth?token=secret"]
    server.answers = [Answer(ends_after=300_000)]
    failed(paths, SHA256, url)
    kept = b"".join(each.read_bytes() for each in paths.weights.glob("*.tag"))
    assert b'"one"' in kept
    assert b"secret" not in kept


def test_a_proxy_of_the_environment_is_used(paths, server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.address.rpartition("/")[0])
    fetch(paths, SHA256, "http://weights.invalid/weights.pth")
    assert server.paths == ["http://weights.invalid/weights.pth"]
    assert weights_file(paths).read_bytes() == CONTENT


LIMITED = """
import resource, signal, sys
from pathlib import Path
from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.housekeeping.weights import fetch
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
try:
    fetch(Paths(Path(sys.argv[1])), sys.argv[2], sys.argv[3])
except GanError as error:
    print(error)
"""


def test_a_full_disk_is_one_line_and_what_has_come_is_kept(paths, server):
    command = [sys.executable, "-c", LIMITED, str(paths.root), SHA256, server.address]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"{paths.weights}: cannot be written (File too large) after 500,000")
    assert told.count("\n") == 1
    fetch(paths, SHA256, server.address)
    assert server.asked[-1]["range"] == "bytes=500000-"
    assert weights_file(paths).read_bytes() == CONTENT


def test_two_fetches_at_a_time_do_not_write_the_same_file(paths, server):
    server.answers = [Answer(ends_after=CUT, hangs=True), Answer()]
    told = []

    def first():
        fetch(paths, SHA256, server.address)
        told.append("fetched")

    thread = threading.Thread(target=first)
    thread.start()
    while not server.asked:
        time.sleep(0.005)
    with pytest.raises(GanError, match="another `gan weights fetch` is at work"):
        fetch(paths, SHA256, server.address)
    thread.join()
    assert told == ["fetched"]
    assert left_in(paths) == [NAME]


def test_a_file_in_torch_s_cache_is_copied_and_nothing_is_asked_for(paths, server, capsys):
    hub_file().parent.mkdir(parents=True)
    hub_file().write_bytes(CONTENT)
    paths.weights.mkdir(parents=True)
    (paths.weights / PARTIAL).write_bytes(CONTENT[:CUT])
    fetch(paths, SHA256, server.address)
    assert server.asked == []
    assert weights_file(paths).read_bytes() == CONTENT
    assert left_in(paths) == [NAME]
    assert f"{hub_file()}: this is the right file" in capsys.readouterr().err


def test_a_wrong_file_in_torch_s_cache_is_left_alone(paths, server, capsys):
    hub_file().parent.mkdir(parents=True)
    hub_file().write_bytes(OTHER)
    fetch(paths, SHA256, server.address)
    assert f"{hub_file()}: left alone" in capsys.readouterr().err
    assert hub_file().read_bytes() == OTHER
    assert weights_file(paths).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "variables",
    [{}, {"XDG_CACHE_HOME": "/x/cache"}, {"TORCH_HOME": "~/t", "XDG_CACHE_HOME": "/x/cache"}],
)
def test_torch_s_cache_is_where_torch_says(variables, monkeypatch):
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(hub_file()) == f"{torch.hub.get_dir()}/checkpoints/{NAME}"


def test_the_missing_message_names_the_place_and_both_ways(paths):
    message = missing_message(paths)
    assert f"{paths.weights.name}/" in message
    assert str(paths.root) not in message  # results hold it
    assert "gan weights fetch" in message
    assert "gan weights add FILE" in message
    assert "\n" not in message


@pytest.fixture
def listed(paths, make_params, capsys):
    """listed(**features): the rows of the table by file."""

    def table(**features):
        changes = {f"features.{name}": value for name, value in features.items()}
        show(paths, make_params(changes).features)
        _, *rows = capsys.readouterr().out.splitlines()
        return {row.split()[0]: " ".join(row.split()[1:]) for row in rows}

    return table


def test_the_table_of_an_empty_folder_says_how_to_get_the_file(listed):
    assert listed(extractors=["lite0"]) == {
        NAME: "- - absent: `gan weights fetch`, or `gan weights add FILE`"
    }


def test_the_table_tells_right_from_wrong_and_official_from_others(file, paths, listed):
    assert inception.OFFICIAL_SHA256 == OFFICIAL_SHA256
    add(file, paths, SHA256)
    row = listed(inception_sha256=SHA256)[NAME]
    assert row.startswith(f"2.4 {SHA256[:8]} ")
    assert f"called fd_inception_{SHA256[:8]}" in row
    assert "wrong" in listed(inception_sha256=OFFICIAL_SHA256)[NAME]


def test_the_table_calls_pytorch_fid_s_own_file_official(file, paths, listed, monkeypatch):
    monkeypatch.setattr("pipeline.housekeeping.weights.OFFICIAL_SHA256", SHA256)
    add(file, paths, SHA256)
    assert "pytorch-fid's own: metrics are called fid" in listed(inception_sha256=SHA256)[NAME]


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")
def test_the_table_has_unfinished_downloads_and_torchscript_files(paths, server, listed):
    server.answers = [Answer(ends_after=300_000)]
    failed(paths, SHA256, server.address)
    torch.jit.script(torch.nn.Linear(2, 2)).save(paths.weights / "clip.pt")
    torch.save({"weight": torch.zeros(2)}, paths.weights / "state.pt")
    with zipfile.ZipFile(paths.weights / "empty.ts", "w"):
        pass
    (paths.weights / "note.ts").write_text("no archive")
    rows = listed(extractors=["lite0", "clip.pt", "none.pt"])
    assert "unfinished" in rows[PARTIAL]
    assert rows["clip.pt"].endswith("TorchScript; features.extractors names it")
    for name in ("state.pt", "empty.ts", "note.ts"):
        assert rows[name].endswith("not TorchScript; unused")
    assert rows["none.pt"].startswith("- - absent: features.extractors names it")
    assert len(rows) == 7


@pytest.mark.slow
def test_the_commands_need_no_torch(gan, write_params, tmp_path, server):
    write_params(tmp_path / "params.yaml", {"features.inception_sha256": SHA256})
    code = "raise ImportError('torch was imported')"
    (tmp_path / "torch.py").write_text(code)
    done = gan("weights", "fetch", "--url", server.address)
    assert done.returncode == 0, done.stderr
    assert weights_file(Paths(tmp_path)).read_bytes() == CONTENT
    done = gan("weights", "list")
    assert NAME in done.stdout
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_ctrl_c_loses_nothing_and_the_same_command_goes_on(gan, write_params, tmp_path, server):
    write_params(tmp_path / "params.yaml", {"features.inception_sha256": SHA256})
    server.answers = [Answer(ends_after=CUT, hangs=True), Answer()]
    process = gan("weights", "fetch", "--url", server.address, wait=False)
    partial, deadline = tmp_path / "weights" / PARTIAL, time.monotonic() + 60
    while not (partial.is_file() and partial.stat().st_size > CUT - download.CHUNK):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "nothing is lost, run the same command again" in told
    assert gan("weights", "fetch", "--url", server.address).returncode == 0
    assert int(server.asked[1]["range"].removeprefix("bytes=").removesuffix("-")) > 0
    assert weights_file(Paths(tmp_path)).read_bytes() == CONTENT
