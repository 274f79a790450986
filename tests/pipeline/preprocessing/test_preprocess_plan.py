"""Plan of a dataset: each file once, train first, split by content, found in its shard."""

import hashlib
import io
import tarfile

import numpy as np
import pytest
from preprocess_inputs import in_holdout, make_dataset, pictures, section

from gan.errors import GanError
from pipeline.dataset.reader import Dataset
from pipeline.dataset.shards import ImageIndex
from pipeline.faces.box import Box
from pipeline.preprocessing.plan import digest_bytes, is_held_out, make_plan


def plan_of(folder, files, missing=(), boxes=None, holdout=0.3):
    paths = make_dataset(folder, files, missing)
    return make_plan(Dataset.open(paths.data), holdout, boxes, section().attributes)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_each_file_is_one_picture_train_first_in_the_order_of_the_manifest(tmp_path):
    files = pictures(40)
    plan = plan_of(tmp_path, files, ["gone", "bad", "gone"])
    train = [number for number, data in enumerate(files) if not in_holdout(data)]
    held = [number for number, data in enumerate(files) if in_holdout(data)]
    assert plan.entries["entry"].tolist() == train + held
    assert plan.train == len(train)
    assert [bytes(each).hex() for each in digest_bytes(plan.digest)] == [
        sha256(files[row]) for row in train + held
    ]
    for entry, row in enumerate(train + held):
        assert plan.read(entry) == files[row]
    assert set(plan.entries[["width", "height"]].tolist()) == {(40, 44)}
    assert plan.statuses == {"ok": 40, "gone": 2, "bad": 1}


def test_of_entries_with_equal_files_the_first_counts(tmp_path):
    one, two, three = pictures(3)
    plan = plan_of(tmp_path, [one, two, one, three, one, two], holdout=0.0)
    assert plan.entries["entry"].tolist() == [0, 1, 3]
    same = plan.same_files
    assert same["entry"].tolist() == [2, 4, 5]
    assert plan.entries["entry"][plan.same_pictures].tolist() == [0, 0, 1]
    dataset = Dataset.open(tmp_path / "data")
    urls = [row.url for row in dataset.entries_at(same["offset"].tolist())]
    assert urls == [f"/images/{number}.png" for number in (2, 4, 5)]


def test_the_last_64_bits_of_the_hash_decide_the_split():
    random = np.random.default_rng(0)
    digests = random.integers(0, 256, (5000, 32), dtype=np.uint8)
    digests[0, 24:] = 0
    digests[1, 24:] = 255
    names = digests.view("S32").ravel()
    expected = [int.from_bytes(bytes(each[24:]), "big") / 2**64 < 0.1 for each in digests]
    assert is_held_out(names, 0.1).tolist() == expected
    assert 400 < sum(expected) < 600
    assert not is_held_out(names, 0.0).any()


def test_boxes_are_those_of_the_first_listed_entry(tmp_path):
    one, two, three = pictures(3)
    first, second = (Box(1, 2, 3, 4),), (Box(5, 6, 7, 8),)
    boxes = {"/images/2.png": first, sha256(two): (), "/images/4.png": second}
    plan = plan_of(tmp_path, [one, two, one, three, one], boxes=boxes, holdout=0.0)
    assert plan.listed_boxes == {0: first, 1: ()}
    with pytest.raises(GanError, match="sha256 or url"):
        plan_of(tmp_path / "other", [three], boxes={"x": first})


@pytest.mark.parametrize("digest", ["xyz", "ab" * 31])
def test_an_entry_with_an_invalid_hash_is_an_error(tmp_path, digest):
    files = pictures(1)
    paths = make_dataset(tmp_path, files)
    manifest = paths.data / "manifest.jsonl"
    text = manifest.read_text().replace(sha256(files[0]), digest)
    dataset = Dataset.open(paths.data)
    manifest.write_text(text)
    with pytest.raises(GanError, match=r"manifest\.jsonl:1: "):
        make_plan(dataset, 0.3, None, section().attributes)


@pytest.mark.parametrize("size", [0, 3])
def test_an_image_that_no_shard_has_is_named(tmp_path, size):
    digest = bytes(range(32))
    present = [tmp_path / "a.tar"] if size else []
    for path in present:
        with tarfile.open(path, "w") as shard:
            member = tarfile.TarInfo(f"{'0' * 64}.png")
            member.size = size
            shard.addfile(member, io.BytesIO(b"x" * size))
    index = ImageIndex.read(present)
    assert not index.find(np.array([], "S32")).size
    with pytest.raises(GanError, match=digest.hex()):
        index.find(np.array([digest], "S32"))
