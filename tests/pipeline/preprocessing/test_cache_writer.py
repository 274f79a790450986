"""Columns of the index."""

import hashlib

import numpy as np
import pyarrow.parquet as pq

from pipeline.preprocessing.cache_writer import write_index


def test_columns_are_read_back_unchanged(tmp_path):
    hashes = [hashlib.sha256(bytes([n])).digest() for n in range(19)]
    floats = np.arange(19, dtype=np.float32)
    floats[[0, 7, 8, 18]] = np.nan
    columns = {
        "floats": floats,
        "every_second": np.arange(38)[::2],
        "large": np.full(19, 2**64 - 1, np.uint64),
        "sha256": [each.hex() for each in hashes],
        "pixels": hashes,
        "split": ["train"] * 12 + ["holdout"] * 7,
    }
    write_index(tmp_path, iter([columns, columns]))
    assert pq.ParquetFile(tmp_path / "index.parquet").num_row_groups == 2
    table = pq.read_table(tmp_path / "index.parquet").to_pydict()
    assert table["floats"] == 2 * [None if n in (0, 7, 8, 18) else float(n) for n in range(19)]
    assert table["every_second"] == 2 * list(range(0, 38, 2))
    assert table["large"] == 2 * ([2**64 - 1] * 19)
    assert table["sha256"] == 2 * [each.hex() for each in hashes]
    assert table["pixels"] == 2 * hashes
    assert table["split"] == 2 * (["train"] * 12 + ["holdout"] * 7)
