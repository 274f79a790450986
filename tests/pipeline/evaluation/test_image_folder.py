import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_files import encode, plain, soft, stored
from PIL import Image
from pytorch_fid.fid_score import ImagePathDataset

from gan.errors import GanError
from pipeline.evaluation.image_folder import MAX_PIXELS, FolderSource

ROOT = Path(__file__).parents[3]


def write(folder, **files):
    """Files by name, `__` standing for a slash and `_` before the extension for a dot."""
    for name, content in files.items():
        stem, _, extension = name.replace("__", "/").rpartition("_")
        path = folder / f"{stem}.{extension}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else encode(content))
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures") / "fakes"
    folder.mkdir()
    for number in range(23):
        (folder / f"{number:02d}.png").write_bytes(encode(soft(24, 16, seed=number)))
    return folder


def everything(source, size=5):
    return torch.cat(list(source.batches(size))).permute(0, 2, 3, 1).numpy()


def catch_refusal(folder, workers=2):
    with pytest.raises(GanError) as caught:
        for _ in FolderSource(folder, workers).batches(4):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("size", [1, 7, 23, 64])
def test_batches_are_the_files_in_order_for_any_workers_and_size(pictures, workers, size):
    source = FolderSource(pictures, workers)
    batches = list(source.batches(size))
    assert {len(batch) for batch in batches[:-1]} <= {size}
    expected = [np.asarray(soft(24, 16, seed=number)) for number in range(23)]
    np.testing.assert_array_equal(everything(source, size), expected)
    assert (len(source), source.size) == (23, (16, 24))
    np.testing.assert_array_equal(source.select([22, 4]), [expected[22], expected[4]])


@pytest.mark.filterwarnings("ignore:Palette images")  # of pytorch-fid's reading
def test_pixels_are_those_of_pytorch_fid(tmp_path):
    picture = soft(32, 32)
    half = picture.copy()
    half.putalpha(Image.linear_gradient("L").resize((32, 32)))
    palette = picture.quantize(16)
    animation = {"save_all": True, "append_images": [plain("red", size=(32, 32))]}
    write(
        tmp_path,
        rgb_png=picture,
        grey_png=picture.convert("L"),
        bits_png=picture.convert("1"),
        grey_alpha_png=half.convert("LA"),
        alpha_png=half,
        alpha_webp=encode(half, "WEBP"),
        palette_png=palette,
        clear_png=encode(palette, transparency=bytes(range(0, 160, 10))),
        key_png=encode(picture, transparency=(1, 2, 3)),
        photo_JPG=encode(picture, "JPEG"),
        turned_jpeg=stored(picture, 6, "JPEG"),
        print_jpg=encode(picture.convert("CMYK"), "JPEG"),
        moving_gif=encode(palette, "GIF", **animation),
        flat_bmp=encode(picture, "BMP"),
        scan_tif=encode(picture, "TIFF"),
        map_ppm=encode(picture, "PPM"),
        below__deeper__again_PNG=picture,
    )
    source = FolderSource(tmp_path, 2)
    theirs = ImagePathDataset([tmp_path / file for file in source.files])
    assert len(source) == 17
    for row, picture_of_theirs in zip(everything(source), theirs, strict=True):
        np.testing.assert_array_equal(row, np.asarray(picture_of_theirs))


def test_conversions_and_ignored_files_are_reported_once(tmp_path, pictures, capsys, recwarn):
    half = soft(8, 8).convert("RGBA")
    half.putalpha(9)
    folder = write(
        tmp_path / "mine",
        a_png=soft(8, 8).convert("L"),
        b_png=soft(8, 8).convert("1"),
        c_png=half,
        d_png=encode(soft(8, 8).quantize(16), transparency=bytes(range(0, 160, 10))),
        e_png=soft(8, 8),
        list_txt=b"not a picture",
        **{".c_png": soft(8, 8), ".hidden__d_png": soft(9, 9)},
    )
    (folder / "linked").symlink_to(pictures)
    (folder / "linked.png").symlink_to(folder / "e.png")
    os.mkfifo(folder / "pipe.png")
    source = FolderSource(folder, 1)
    everything(source)
    assert source.files == ["a.png", "b.png", "c.png", "d.png", "e.png", "linked.png"]
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "grey" in each]
    numbers = re.findall(r"\d+", line.removeprefix(str(folder)))
    assert numbers == ["6", "2", "2", "1", "5", "2", "1", "1", "1"]  # the last ones by kind
    assert "1 text" in line
    assert not recwarn.list
    everything(FolderSource(pictures, 2))
    assert "images:" not in capsys.readouterr().err


def test_pictures_are_found_by_content_and_a_folder_without_any_says_what_it_has(
    tmp_path,
):
    for name in ("0123abcd", "b.data", "c.avif"):
        soft(8, 8).save(tmp_path / name, "AVIF")
    assert FolderSource(tmp_path, 1).files == ["0123abcd", "b.data", "c.avif"]
    other = tmp_path / "other"
    other.mkdir()
    for number in range(3):
        (other / f"{number}.jxl").write_bytes(b"\xff\x0a")
    assert "3 JPEG XL" in catch_refusal(other)


def test_a_digest_is_of_the_contents_wherever_they_lie(pictures, tmp_path):
    source = FolderSource(pictures, 2)
    copied = FolderSource(shutil.copytree(pictures, tmp_path / "Other Name!"), 1)
    assert copied.digest == source.digest
    assert copied.tag == f"vs_other-name_{source.digest[:8]}"
    assert str(tmp_path) not in copied.description
    (copied.folder / "07.png").write_bytes(encode(soft(24, 16, seed=99)))
    changed = FolderSource(copied.folder, 1).digest
    (copied.folder / "22.png").unlink()
    assert len({source.digest, changed, FolderSource(copied.folder, 1).digest}) == 3


def test_files_that_change_or_go_between_two_readings_are_named(pictures, tmp_path):
    source = FolderSource(shutil.copytree(pictures, tmp_path / "mine"), 2)
    file = source.folder / "07.png"
    for change in (lambda: file.write_bytes(encode(soft(24, 16, seed=99))), file.unlink):
        change()
        with pytest.raises(GanError, match=r"07\.png"):
            everything(source)
    file.symlink_to("nowhere")
    assert FolderSource(source.folder, 1).ignored == 1


def test_mixed_sizes_are_refused_with_counts_and_examples_in_one_short_line(tmp_path):
    for number in range(5):
        write(tmp_path, **{f"a{number}_png": soft(64, 64), f"b{number % 2}_png": soft(32, 64)})
    for side in range(8, 48):
        write(tmp_path, **{f"{side}_png": plain("red", size=(side, side))})
    message = catch_refusal(tmp_path)
    assert "42 sizes" in message
    assert "5 of 64x64 (a0.png)" in message
    assert len(message) - len(str(tmp_path)) < 300


def test_folders_without_two_images_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "none", a_txt=b"", b_py=b"")
    write(tmp_path / "one", a_png=soft(8, 8))
    for name in ("absent", "empty", "none", "one", "one/a.png"):
        assert catch_refusal(tmp_path / name).startswith(f"{tmp_path / name}: ")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("cut_png", encode(soft(64, 64))[:-400], "damaged picture"),
        ("empty_png", b"", "not a picture"),
        ("deep_png", Image.new("I;16", (64, 64), 40000), "more than 8 bits"),
        ("large_png", Image.new("1", (5000, 4000)), "5000x4000 pixels"),
        ("bomb_png", encode(Image.new("1", (15000, 15000))), f"more than {MAX_PIXELS}"),
    ],
)
def test_a_picture_that_cannot_be_used_is_named_in_one_line(
    tmp_path, name, content, reason, recwarn
):
    write(tmp_path, a_png=soft(64, 64), b_png=soft(64, 64, seed=1), **{name: content})
    message = catch_refusal(tmp_path)
    assert message.startswith(str(tmp_path / name.replace("_", ".")))
    assert reason in message
    assert not recwarn.list


def test_pictures_are_decoded_a_few_batches_ahead_and_leaving_early_leaves_no_thread(tmp_path):
    for number in range(60):
        write(tmp_path, **{f"{number:02d}_png": plain("red", size=(256, 256))})
    source, before = FolderSource(tmp_path, 2), threading.active_count()
    tracemalloc.start()
    try:
        assert sum(map(len, source.batches(2))) == 60
        assert tracemalloc.get_traced_memory()[1] < 60 * 256 * 256 * 3 / 2
    finally:
        tracemalloc.stop()
    batches = source.batches(2)
    next(batches)
    batches.close()
    assert threading.active_count() == before


@pytest.mark.slow
def test_ctrl_c_ends_the_process(pictures):
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from pipeline.evaluation.image_folder import FolderSource\n"
        "for _ in FolderSource(Path(sys.argv[1]), 2).batches(1):\n"
        "    print('one', flush=True)\n"
        # short ones: a signal just before a sleep's system call does not end that sleep
        "    for _ in range(1000):\n"
        "        time.sleep(0.1)\n"
    )
    command, pipe = [sys.executable, "-c", program, pictures], subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe)
    assert process.stdout.readline() == b"one\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)  # less than it would sleep
    assert process.returncode != 0
    assert errors.rstrip().endswith(b"KeyboardInterrupt")
