"""`gan generate`: seeds in, PNG files out, the same picture for the same seed."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from gan.errors import GanError
from pipeline.number_ranges import parse_ranges
from pipeline.pictures.generate import MAX_SEEDS, run
from pipeline.pictures.png_lineage import read_lineage


def test_seeds_are_numbers_and_ranges():
    assert parse_ranges(" 2 - 4 , 9,5-5,9", "--seeds", MAX_SEEDS) == [2, 3, 4, 9, 5, 9]


@pytest.mark.parametrize("text", ["", "-1", "1-", "5-3", "1.5", "0-1000000"])
def test_invalid_seeds_are_an_error_of_one_line(tmp_path, text):
    with pytest.raises(GanError, match=r"^[^\n]*--seeds[^\n]*$"):
        run(tmp_path / "none.pt", text, tmp_path, grid=False)


def test_a_seed_gives_the_same_file_alone_among_others_again_and_in_a_grid(checkpoint, tmp_path):
    files = run(checkpoint, "0-63", tmp_path / "all", grid=False)
    assert [file.name for file in files] == [f"{seed:06d}.png" for seed in range(64)]
    assert len({file.read_bytes() for file in files}) == 64
    assert len(list((tmp_path / "all").iterdir())) == 64
    for _ in range(2):
        (alone,) = run(checkpoint, "9", tmp_path / "alone", grid=False)
        assert alone.read_bytes() == files[9].read_bytes()
    (sheet,) = run(checkpoint, "0-9", tmp_path, grid=True)
    with Image.open(sheet) as grid, Image.open(alone) as avatar:
        assert grid.size == (8 * 34 - 2, 2 * 34 - 2)
        assert np.array_equal(np.asarray(grid)[34:66, 34:66], np.asarray(avatar))


def test_files_and_grids_hold_their_seeds_and_lineage(checkpoint, tmp_path):
    (file,) = run(checkpoint, "5", tmp_path, grid=False)
    with Image.open(file) as image:
        assert image.size == (32, 32)
        assert (image.info["gan.seed"], image.info["gan.run_key"]) == ("5", "k" * 64)
    lineage = read_lineage(file)
    assert (lineage["seeds"], lineage["truncation"], lineage["images_seen"]) == ("5", 1.0, 64)
    assert lineage["trained_on"] == "d" * 64
    assert lineage["sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    (sheet,) = run(checkpoint, "0-3, 9", tmp_path, grid=True, truncation=0.5)
    lineage = read_lineage(sheet)
    assert (lineage["seeds"], lineage["truncation"]) == ("0-3,9", 0.5)


def test_truncation_0_gives_a_single_avatar(checkpoint, tmp_path):
    for truncation, most in ((1.0, 16), (0.0, 1)):
        files = run(checkpoint, "0-15", tmp_path, grid=False, truncation=truncation)
        assert len({np.asarray(Image.open(file)).tobytes() for file in files}) == most


def test_a_file_in_place_of_the_folder_is_an_error(checkpoint, tmp_path):
    (tmp_path / "out").write_text("in the way")
    for out in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(GanError, match=r"^[^\n]*out[^\n]*$"):
            run(checkpoint, "1", out, grid=False)
    assert (tmp_path / "out").read_text() == "in the way"
