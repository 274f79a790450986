import fcntl
import subprocess
import sys
import time
from pathlib import Path

from pipeline.features.lock import alone_now, in_use

ROOT = Path(__file__).parents[3]

HOLDER = """
import sys
from pathlib import Path
from pipeline.features.lock import alone
print("ready", flush=True)
with alone(Path(sys.argv[1]), "waiting"):
    print("mine", flush=True)
    sys.stdin.read()
"""


def holder(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_lock_is_held_by_one_process_until_it_ends_however_it_ends(tmp_path):
    path = tmp_path / "lock"
    assert not in_use(path)
    assert not path.exists()
    process = holder(path)
    assert process.stdout.readline() == "mine\n"
    assert in_use(path)
    with alone_now(path) as mine:
        assert not mine
    process.kill()
    process.communicate()
    assert not in_use(path)
    with alone_now(path) as mine:
        assert mine


def test_a_lock_that_is_removed_while_it_is_waited_for_still_excludes(tmp_path):
    path = tmp_path / "lock"
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = holder(path)
        time.sleep(1.2)
        path.unlink()  # as a remover does before it lets go
    assert process.stdout.readline() == "mine\n"
    assert in_use(path)
    process.stdin.close()
    assert process.stderr.read() == "waiting\n"
    process.wait(timeout=30)
    assert not in_use(path)
