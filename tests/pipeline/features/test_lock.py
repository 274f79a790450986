"""Locks between processes, also when the holder is killed or removes the file."""

import fcntl
import subprocess
import sys
from pathlib import Path

from pipeline.features.lock import is_locked, try_lock

ROOT = Path(__file__).parents[3]

HOLDER = """
import sys
from pathlib import Path
from pipeline.features.lock import hold_lock
print("ready", flush=True)
with hold_lock(Path(sys.argv[1]), "waiting"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def start_holder(path):
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


def test_a_lock_is_held_by_one_process_until_it_is_killed(tmp_path):
    path = tmp_path / "lock"
    assert not is_locked(path)
    assert not path.exists()
    process = start_holder(path)
    assert process.stdout.readline() == "locked\n"
    assert is_locked(path)
    with try_lock(path) as locked:
        assert not locked
    process.kill()
    process.communicate()
    assert not is_locked(path)
    with try_lock(path) as locked:
        assert locked


def test_a_lock_file_that_is_removed_while_another_process_waits_still_excludes(tmp_path):
    path = tmp_path / "lock"
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start_holder(path)
        assert process.stderr.readline() == "waiting\n"
        path.unlink()  # as `Entry.remove` does before it releases the lock
    assert process.stdout.readline() == "locked\n"
    assert is_locked(path)
    process.communicate()
    assert not is_locked(path)
