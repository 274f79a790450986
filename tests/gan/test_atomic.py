"""Files written whole or not at all."""

import subprocess
import sys

import pytest

from gan.atomic import open_atomically, write_atomically
from gan.errors import GanError


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"first")
    with path.open("rb") as reader:
        write_atomically(path, b"second")
        assert reader.read() == b"first"
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


def test_a_file_where_a_folder_should_be_is_reported_in_one_line(tmp_path):
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(GanError, match="cannot be written") as caught:
        write_atomically(tmp_path / "models" / "a.pt", b"content")
    assert "\n" not in str(caught.value)


def test_an_error_in_the_middle_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "rows"
    write_atomically(path, "old")

    def fail_in_the_middle():
        with open_atomically(path) as stream:
            stream.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_the_middle()
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["rows"]
