"""Contact sheets and PNG files."""

import subprocess
import sys

import numpy as np
from PIL import Image

from pipeline.pictures.contact_sheet import contact_sheet, save_png

FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from PIL import Image
from gan.errors import GanError
from pipeline.pictures.contact_sheet import save_png
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
try:
    save_png(Image.fromarray(noise), Path(sys.argv[1]))
except GanError as error:
    print(error)
"""


def test_a_full_disk_is_an_error_and_leaves_the_old_picture(tmp_path):
    path = tmp_path / "sheet.png"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.startswith(f"{path}: ")
    assert output.count("\n") == 1
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["sheet.png"]


def test_a_contact_sheet_shows_every_image_in_its_place():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((4, 6, 3), np.uint8)
    sheet = np.asarray(contact_sheet(images, 3))
    assert sheet.shape == (10, 22, 3)
    assert [sheet[0, 0, 0], sheet[3, 21, 0], sheet[9, 13, 2]] == [0, 2, 4]
    assert sheet[4, 0, 0] == sheet[9, 21, 0] == 255


def test_a_png_is_written_whole_and_always_the_same(tmp_path):
    sheet = contact_sheet(np.full((3, 8, 8, 3), 7, np.uint8), 2)
    for name in ("a.png", "b.png"):
        save_png(sheet, tmp_path / "new" / name)
    assert (tmp_path / "new/a.png").read_bytes() == (tmp_path / "new/b.png").read_bytes()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "new/a.png")), np.asarray(sheet))
    assert len(list((tmp_path / "new").iterdir())) == 2
