"""The server for a team that docs/tracking.md describes: PostgreSQL, S3, passwords."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tracking_stores import free_port

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/tracking.md").read_text(encoding="utf-8")
BUCKET = "avatars-mlflow"
PASSWORDS = {"admin": "an admin's long secret", "ann": "ann's long secret", "bob": "bob's:long@1"}


def block(kind: str, word: str) -> str:
    """The one block of a kind in the document that has a word."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (found,) = [each for each in blocks if word in each]
    return found


def postgres_programs() -> Path:
    """The folder of initdb and pg_ctl."""
    on_path = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = [each for each in [*on_path, *reversed(debian)] if (each / "initdb").exists()]
    if not found:
        pytest.fail("PostgreSQL is missing: apt-get install postgresql")
    return found[0]


@contextmanager
def empty_database() -> Iterator[dict[str, str]]:
    """An empty PostgreSQL, with what the document's commands make; its libpq environment."""
    programs = postgres_programs()
    user = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    if user:
        shutil.chown(folder, user)
    reach = {"PGHOST": str(folder), "PGPORT": str(free_port())}
    listen = f"-c listen_addresses= -c unix_socket_directories={folder} -p {reach['PGPORT']}"

    def do(program: str, *arguments: str, **extra: str) -> None:
        env = {"PATH": os.environ["PATH"], "LC_ALL": "C", **reach, **extra}
        command = [str(programs / program), *arguments]
        done = subprocess.run(
            command, user=user, cwd=folder, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        do("initdb", "-D", f"{folder}/data", "-U", "postgres", "--auth=trust", "--no-sync")
        do("pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", listen, "start")
        for line in re.findall(r'^su postgres -c "(.*)"$', TEXT, re.MULTILINE):
            do(*line.split(), PGUSER="postgres")
        yield {**reach, "PGUSER": "mlflow"}
    finally:
        with suppress(AssertionError):
            do("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


class SlowProxy:
    """Proxy to a port, limited to `rate` bytes a second."""

    def __init__(self, port: int) -> None:
        self.rate = float("inf")
        self._port = port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._door.accept()
            far = socket.create_connection(("127.0.0.1", self._port))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while data := here.recv(1 << 16):
                there.sendall(data)
                time.sleep(len(data) / self.rate)
        for end in (here, there):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def empty_bucket() -> Iterator[SlowProxy]:
    """The proxy to a store that speaks S3, with one bucket."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        proxy = SlowProxy(server.get_host_and_port()[1])
        bucket_of(proxy).create()
        yield proxy
    finally:
        server.stop()


def bucket_of(proxy: SlowProxy):
    """The bucket, as boto3 has it."""
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    store = boto3.resource("s3", endpoint_url=proxy.address, region_name="us-east-1", **keys)
    return store.Bucket(BUCKET)


@dataclass
class Team:
    """Running server, and the environment of a member of the team."""

    port: int
    log: Path
    s3: SlowProxy

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def member(self, name: str) -> dict[str, str]:
        return {
            "MLFLOW_TRACKING_URI": self.address,
            "MLFLOW_TRACKING_USERNAME": name,
            "MLFLOW_TRACKING_PASSWORD": PASSWORDS[name],
        }

    def is_up(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"{self.address}/health", timeout=30):
            return True
        return False


@contextmanager
def _serve(command: list[str], env: dict[str, str], team: Team) -> Iterator[None]:
    with team.log.open("ab") as log:
        process = subprocess.Popen(
            command, env=env, stdout=log, stderr=log, cwd=team.log.parent, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 180
        while not team.is_up():
            assert process.poll() is None, team.log.read_text()
            assert time.monotonic() < deadline, team.log.read_text()
            time.sleep(0.2)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def serving_team(folder: Path) -> Iterator[Team]:
    """The server by the document's files and command; users as it makes them."""
    if find_spec("flask_wtf") is None:
        pytest.fail("Flask-WTF is missing: .venv/bin/pip install -e '.[server,s3]'")
    with empty_database() as database, empty_bucket() as proxy:
        team = Team(free_port(), folder / "log", proxy)
        env = {**os.environ, **_read_environment(team), **database}
        with _serve(_command(team.port), env, team):
            for name in ("ann", "bob"):
                _make_user(team, name)
            yield team


def _read_environment(team: Team) -> dict[str, str]:
    """Variables of the document, some with values of this machine; writes its auth.ini."""
    auth = team.log.with_name("auth.ini")
    auth.write_text(block("ini", "database_uri"))
    lines = [line for line in block("ini", "MLFLOW_FLASK").splitlines() if "=" in line]
    documented = dict(line.split("=", 1) for line in lines)
    own = {
        "MLFLOW_S3_ENDPOINT_URL": team.s3.address,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "MLFLOW_AUTH_CONFIG_PATH": str(auth),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORDS["admin"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "x" * 64,
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{team.port}",
    }
    assert set(own) < set(documented)
    return documented | own


def _command(port: int) -> list[str]:
    started = next(line for line in block("sh", "mlflow server").splitlines() if "server " in line)
    arguments = started.split("mlflow server", 1)[1].split()
    arguments[arguments.index("--port") + 1] = str(port)
    return [sys.executable, "-m", "mlflow", "server", *arguments]


def _make_user(team: Team, name: str) -> None:
    """By the document's command."""
    line = next(x for x in block("sh", "users/create").splitlines() if "users/create" in x)
    line = line.replace("https://tracker.example.org", team.address)
    line = line.replace("--user admin", '--user "admin:$ADMIN"').replace("ann", name, 1)
    line = re.sub(r"ANNS_PASSWORD", PASSWORDS[name].replace("'", "'\\''"), line)
    env = {"PATH": os.environ["PATH"], "ADMIN": PASSWORDS["admin"]}
    done = subprocess.run(line, shell=True, env=env, capture_output=True, text=True)
    assert done.returncode == 0, line + done.stderr
