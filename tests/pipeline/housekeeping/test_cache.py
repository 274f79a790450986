"""`gan cache`: facts of a cache, damage that is found, sheets of images."""

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from gan.tensor_cache import TensorCache
from pipeline.cli.main import main
from pipeline.pictures.captions import CAPTION, TILE
from pipeline.pictures.contact_sheet import GAP

COUNT, HOLDOUT, SIDE = 40, 8, 32
SHARPNESS = np.random.default_rng(1).permutation(COUNT).astype(np.float32) / 2
UNMEASURED = 11
ACROSS, DOWN = TILE + GAP, TILE + CAPTION + GAP  # from one picture of a sheet to the next


@pytest.fixture
def images():
    """Images of one tone each: 6 times the row."""
    tones = np.arange(COUNT, dtype=np.uint8) * 6
    return np.broadcast_to(tones[:, None, None, None], (COUNT, SIDE, SIDE, 3)).copy()


@pytest.fixture
def cache(tmp_path, images, write_cache, monkeypatch):
    """An intact cache in tmp_path, the current folder; the sharpness of one row is NaN."""
    folder = write_cache(tmp_path / "cache", images, HOLDOUT)
    table, rows = pq.read_table(folder / "index.parquet"), np.arange(COUNT)
    table = table.drop("row")
    for name, values in {
        "row": 100 + rows,
        "sharpness": np.where(rows == UNMEASURED, np.float32(np.nan), SHARPNESS),
        "colour": np.full(COUNT, np.nan, np.float32),
        "dhash": rows.astype(np.uint64)[::-1] + np.uint64(2**64 - COUNT),
    }.items():
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, folder / "index.parquet")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def run(monkeypatch, capsys):
    """run("cache info"): exit code, stdout and stderr of the command."""

    def start(line):
        monkeypatch.setattr(sys, "argv", ["gan", *line.split()])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return start


def fault(result):
    """The one line on stderr of a command that failed, below those of the progress."""
    code, out, err = result
    assert (code, out) == (1, "")
    *progress, line = err.splitlines()
    assert line.startswith("gan: ")
    assert all(each.startswith("cache verify: ") for each in progress)
    return line


def edit_index(folder, name, change):
    """Change the values of a column of the index, as a list."""
    table = pq.read_table(folder / "index.parquet")
    place, kind, values = table.schema.get_field_index(name), table[name].type, table[name]
    table = table.set_column(place, name, pa.array(change(values.to_pylist()), kind))
    pq.write_table(table, folder / "index.parquet")


def rows_on(path, columns):
    """Cache rows on a sheet, line by line, read from their tones."""
    sheet = np.asarray(Image.open(path))
    assert sheet.shape[1] + GAP == columns * ACROSS
    corners = sheet[::DOWN, ::ACROSS, 0].ravel()
    return [int(tone) // 6 for tone in corners if tone != 255]


def parse(out):
    """The lines of the table on stdout, as dicts of text."""
    head, *lines = [line.split("\t") for line in out.splitlines()[:-1]]
    return [dict(zip(head, line, strict=True)) for line in lines]


def test_info_names_digests_counts_settings_and_versions_and_as_json_all_of_meta_json(cache, run):
    code, out, err = run("cache info")
    assert (code, err) == (0, "")
    meta = json.loads((cache / "meta.json").read_text())
    values = yaml.safe_load(out)
    for key in ("snapshot", "digest", "settings", "filter", "counts", "statistics", "versions"):
        assert values[key] == meta[key]
    code, out, _ = run("cache info cache --json")
    assert code == 0
    size = sum(len(path.read_bytes()) for path in cache.iterdir())
    assert json.loads(out) == meta | {"bytes": size}


def test_an_intact_cache_is_one_line(cache, run):
    digest = TensorCache.open(cache).digest
    code, out, err = run("cache verify")
    assert (code, out) == (0, f"cache/: intact; 40 images, digest {digest[:8]}...\n")
    assert all(line.startswith("cache verify: ") for line in err.splitlines())


def test_verify_names_the_rows_of_changed_pixels(cache, images, run, monkeypatch):
    monkeypatch.setattr("gan.tensor_cache.BYTES_PER_READ", 7 * SIDE * SIDE * 3)
    for row, names in ((COUNT - 1, "row 39"), (0, "rows 0, 39")):
        images[row, 31, 31, 2] ^= 1
        np.save(cache / "images.npy", images)
        line = fault(run("cache verify"))
        assert "images.npy" in line
        assert f" {names};" in line


def test_verify_names_the_index_where_only_that_differs(cache, run):
    edit_index(cache, "pixels", lambda pixels: [pixels[1], pixels[0], *pixels[2:]])
    line = fault(run("cache verify"))
    assert "index.parquet: " in line
    assert "rows 0, 1;" in line


def test_verify_names_what_differs_from_meta_json(cache, images, run):
    before = (cache / "meta.json").read_text()
    for changes, words in (
        ({"settings": {"size": SIDE, "crop": "pad"}}, "meta.json: "),
        ({"counts": {"train": 31, "holdout": 9}}, "column split"),
        ({"digest": "0" * 64}, "meta.json: "),
    ):
        (cache / "meta.json").write_text(json.dumps(json.loads(before) | changes))
        assert words in fault(run("cache verify"))
    images[5] += 1
    np.save(cache / "images.npy", images)  # now no two files agree
    line = fault(run("cache verify"))
    assert "images.npy, index.parquet and meta.json" in line
    assert "row 5;" in line


def test_verify_finds_a_file_in_both_splits(cache, run):
    # two images of a file, in one split
    edit_index(cache, "sha256", lambda sha256: [sha256[1], *sha256[1:]])
    assert run("cache verify")[0] == 0
    edit_index(cache, "sha256", lambda sha256: [*sha256[:-1], sha256[0]])
    assert "split in row 39;" in fault(run("cache verify"))


def test_verify_finds_columns_of_another_type(cache, run):
    table = pq.read_table(cache / "index.parquet")
    for name, values in (
        ("sha256", pa.array([None] * COUNT, pa.string())),
        ("pixels", pa.array([b"x" * 31] * COUNT)),
    ):
        other = table.drop(name).append_column(name, values)
        pq.write_table(other, cache / "index.parquet")
        assert "index.parquet" in fault(run("cache verify"))


def test_verify_names_a_file_that_is_missing_or_truncated(cache, run):
    for name in ("meta.json", "images.npy", "index.parquet"):
        data = (cache / name).read_bytes()
        (cache / name).write_bytes(data[: len(data) // 2])
        assert name in fault(run("cache verify"))
        (cache / name).unlink()
        assert name in fault(run("cache verify"))
        (cache / name).write_bytes(data)


def test_verify_finds_a_flipped_bit_in_an_index_with_checksums(cache, run):
    path = cache / "index.parquet"
    pq.write_table(pq.read_table(path), path, write_page_checksum=True)
    assert run("cache verify")[0] == 0
    group, data = pq.read_metadata(path).row_group(0), bytearray(path.read_bytes())
    (pixels,) = [
        chunk
        for chunk in map(group.column, range(group.num_columns))
        if chunk.path_in_schema == "pixels"
    ]
    start = pixels.dictionary_page_offset or pixels.data_page_offset
    data[start + pixels.total_compressed_size - 1] ^= 1
    path.write_bytes(data)
    assert "index.parquet" in fault(run("cache verify"))


def test_a_missing_cache_is_one_line_that_names_the_command(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("info", "verify", "show"):
        assert "gan preprocess" in fault(run(f"cache {command}"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "columns", "rows"),
    [
        ("--count 4", 2, [0, 13, 26, 39]),
        ("--split holdout", 3, range(32, 40)),
        ("", 7, range(40)),
        ("--rows 30-33,2,39 --split train", 2, [30, 31, 2]),
    ],
)
def test_show_takes_images_evenly_or_all_or_those_named(
    cache, run, tmp_path, options, columns, rows
):
    code, out, _ = run(f"cache show {options} --out new/sheet.PNG")
    assert (code, out) == (0, f"new/sheet.PNG: {len(rows)} of 40 images\n")
    assert rows_on(tmp_path / "new/sheet.PNG", columns) == list(rows)


def by_sharpness(rows):
    return sorted((row for row in rows if row != UNMEASURED), key=lambda row: SHARPNESS[row])


@pytest.mark.parametrize(
    ("options", "count", "rows"),
    [
        ("--count 3", 3, by_sharpness(range(COUNT))[::19]),
        ("--count 5 --last", 5, by_sharpness(range(COUNT))[-5:]),
        ("--first --split holdout", 8, by_sharpness(range(32, 40))),
        ("--rows 20,10-12", 3, by_sharpness([20, 10, 12])),
    ],
)
def test_show_sorts_by_a_column_and_lists_value_manifest_entry_and_place(
    cache, run, tmp_path, options, count, rows
):
    code, out, _ = run(f"cache show --by sharpness {options}")
    assert code == 0
    columns, listed = int(np.ceil(np.sqrt(count))), parse(out)
    assert rows_on(tmp_path / "cache.png", columns) == rows
    assert [int(line["row"]) for line in listed] == rows
    assert [float(line["sharpness"]) for line in listed] == list(SHARPNESS[rows])
    assert [int(line["manifest_row"]) for line in listed] == [100 + row for row in rows]
    places = [divmod(i, columns) for i in range(count)]
    assert [line["place"] for line in listed] == [f"{i + 1}:{j + 1}" for i, j in places]


def test_show_sorts_whole_numbers_over_63_bits_exactly(cache, run):
    _, out, _ = run("cache show --by dhash --count 40")
    assert [int(line["row"]) for line in parse(out)] == list(range(COUNT))[::-1]
    assert parse(out)[-1]["dhash"] == str(2**64 - 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--by beauty", "row, sharpness, colour"),
        ("--by colour", "colour"),
        ("--first", "--by"),
        ("--rows 5-40", "rows 0-39"),
        ("--rows 1 --split holdout", "no image is in the split"),
        ("--out sheet.jpg", ".png"),
        ("--out cache/../cache/new/sheet.png", "cache/new/sheet.png"),
        ("--out file/sheet.png", "file/sheet.png"),
    ],
)
def test_invalid_options_of_show_are_one_line_and_nothing_is_written(
    cache, run, tmp_path, options, words
):
    (tmp_path / "file").write_text("a file")
    assert words in fault(run(f"cache show {options}"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "file"]
    assert len(list(cache.iterdir())) == 3


def test_an_empty_split_and_a_shorter_index_are_refused(cache, run, tmp_path):
    table = pq.read_table(cache / "index.parquet")
    pq.write_table(table.slice(1), cache / "index.parquet")
    for command in ("show --by sharpness", "verify"):
        assert "index.parquet lists 39 images" in fault(run(f"cache {command}"))
    meta = json.loads((cache / "meta.json").read_text())
    empty = {"counts": {"train": COUNT, "holdout": 0}}
    (cache / "meta.json").write_text(json.dumps(meta | empty))
    assert "holdout" in fault(run("cache show --split holdout"))
    assert not (tmp_path / "cache.png").exists()


def test_an_option_out_of_its_range_is_a_usage_error(cache, run):
    for option, value in (("--split", "both"), ("--count", "0")):
        code, _, err = run(f"cache show {option} {value}")
        assert code == 2
        assert option in err
