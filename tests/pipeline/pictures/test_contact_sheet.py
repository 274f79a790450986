"""Contact sheets and PNG files."""

import numpy as np
from PIL import Image

from pipeline.pictures.contact_sheet import contact_sheet, save_png


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
