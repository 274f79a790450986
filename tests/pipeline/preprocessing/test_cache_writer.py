"""Columns of the index, built without pandas."""

import hashlib
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq

from pipeline.preprocessing.cache_writer import (
    digest_column,
    hex_column,
    number_column,
    split_column,
    write_index,
)


def test_columns_are_read_back_unchanged(tmp_path):
    hashes = [hashlib.sha256(bytes([n])).digest() for n in range(19)]
    raw = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32)
    floats = np.arange(19, dtype=np.float32)
    floats[[0, 7, 8, 18]] = np.nan
    columns = {
        "floats": number_column(floats),
        "every_second": number_column(np.arange(38)[::2]),
        "large": number_column(np.full(19, 2**64 - 1, np.uint64)),
        "hex": hex_column(raw),
        "raw": digest_column(raw),
        "split": split_column({"train": 12, "holdout": 7}),
    }
    write_index(tmp_path, [columns])
    table = pq.read_table(tmp_path / "index.parquet").to_pydict()
    assert table["floats"] == [None if n in (0, 7, 8, 18) else float(n) for n in range(19)]
    assert table["every_second"] == list(range(0, 38, 2))
    assert table["large"] == [2**64 - 1] * 19
    assert table["hex"] == [each.hex() for each in hashes]
    assert table["raw"] == hashes
    assert table["split"] == ["train"] * 12 + ["holdout"] * 7
    assert len(split_column({"train": 0, "holdout": 0})) == len(hex_column(raw[:0])) == 0


def test_blocks_are_written_one_after_the_other(tmp_path):
    blocks = [{"n": number_column(np.arange(at, at + 5))} for at in range(0, 20, 5)]
    write_index(tmp_path, iter(blocks))
    assert pq.read_table(tmp_path / "index.parquet")["n"].to_pylist() == list(range(20))
    assert pq.ParquetFile(tmp_path / "index.parquet").num_row_groups == 4


def test_columns_do_not_import_pandas(tmp_path):
    code = f"""
import sys
from pathlib import Path
import numpy as np
from pipeline.preprocessing.cache_writer import *
raw = np.zeros((3, 32), np.uint8)
write_index(Path({str(tmp_path)!r}), [{{"n": number_column(np.array([1, np.nan, 2])),
    "h": hex_column(raw), "r": digest_column(raw), "w": split_column({{"a": 3}})}}])
sys.exit("pandas" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
