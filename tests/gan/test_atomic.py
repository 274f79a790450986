"""Files written whole or not at all."""

import subprocess
import sys

import pytest

from gan.atomic import open_atomically, write_atomically
from gan.errors import GanError


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "deep" / "file"
    write_atomically(path, "first")
    with path.open("rb") as reader:
        write_atomically(path, b"second")
        assert reader.read() == b"first"

    def fail_in_the_middle():
        with open_atomically(path) as stream:
            stream.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_the_middle()
    assert path.read_bytes() == b"second"
    assert [each.name for each in path.parent.iterdir()] == ["file"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from gan.atomic import write_atomically
from gan.errors import GanError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_atomically(Path(sys.argv[1]), bytes(1_000_000))
except GanError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_file_and_nothing_half_written(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.startswith(f"{path}: cannot be written: ")
    assert output.count("\n") == 1
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.pt"]
    with pytest.raises(GanError, match="cannot be written"):  # a file stands for a folder
        write_atomically(path / "b.pt", b"content")
