import io

import numpy as np
import pytest
from pytorch_fid.fid_score import compute_statistics_of_path

from gan.errors import GanError
from gan.features.statistics import Statistics, load_statistics, read_labels, save_statistics
from gan.metrics.frechet_distance import frechet_distance

LABELS = {"extractor": "tiny", "format": 1}


def draw(dimensions=5, count=40, seed=0):
    features = np.random.default_rng(seed).normal(3, 2, (count, dimensions))
    return Statistics(features.mean(axis=0), np.cov(features, rowvar=False), count)


def refusal_of(path):
    with pytest.raises(GanError) as caught:
        load_statistics(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_what_is_saved_comes_back_bit_for_bit(tmp_path):
    before = draw()
    save_statistics(tmp_path / "a.npz", before, LABELS)
    after, labels = load_statistics(tmp_path / "a.npz")
    assert after.mean.tobytes() == before.mean.tobytes()
    assert after.covariance.tobytes() == before.covariance.tobytes()
    assert (after.count, labels) == (40, LABELS)
    assert read_labels(tmp_path / "a.npz") == LABELS


def test_pytorch_fid_reads_our_file(tmp_path):
    ours = draw()
    save_statistics(tmp_path / "a.npz", ours, LABELS)
    mean, covariance = compute_statistics_of_path(str(tmp_path / "a.npz"), None, 1, 5, "cpu")
    np.testing.assert_array_equal(mean, ours.mean)
    np.testing.assert_array_equal(covariance, ours.covariance)


def test_a_file_of_pytorch_fid_is_read_without_a_count(tmp_path):
    theirs = draw(seed=1)
    # as pytorch_fid.fid_score.save_fid_stats does
    np.savez_compressed(tmp_path / "a.npz", mu=theirs.mean, sigma=theirs.covariance)
    read, labels = load_statistics(tmp_path / "a.npz")
    assert read.count is None
    assert labels == {}
    assert frechet_distance(read, draw()) == frechet_distance(theirs, draw())


def test_equal_content_gives_equal_bytes_at_any_time_and_place(tmp_path, monkeypatch):
    save_statistics(tmp_path / "a.npz", draw(), LABELS)
    monkeypatch.setattr("time.time", lambda: 2e9)
    save_statistics(tmp_path / "deeper" / "b.npz", draw(), dict(reversed(LABELS.items())))
    first = (tmp_path / "a.npz").read_bytes()
    assert first == (tmp_path / "deeper" / "b.npz").read_bytes()
    assert str(tmp_path).encode() not in first


def test_what_other_programs_keep_under_our_names_does_no_harm(tmp_path):
    known = draw()
    arrays = {"mu": known.mean, "sigma": known.covariance}
    pickled = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "a.npz", **arrays, count=np.ones(3), labels=np.array("cat"))
    np.savez(tmp_path / "b.npz", **arrays, count=pickled, labels=pickled)
    for name in ("a.npz", "b.npz"):
        read, labels = load_statistics(tmp_path / name)
        assert (read.count, labels) == (None, {})


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"mu": np.zeros(3)}, "no array `sigma`, only mu"),
        ({"mu": np.zeros(3), "sigma": np.eye(4)}, r"`mu` \(3,\) and `sigma` \(4, 4\)"),
        ({"mu": np.array([0, np.nan]), "sigma": np.eye(2)}, "`mu` holds .* not finite"),
        ({"mu": np.zeros(2), "sigma": np.array([[1, 0.5], [0, 1]])}, "not symmetric"),
        ({"mu": np.zeros(2), "sigma": np.diag([1.0, -1.0])}, "below zero"),
        ({"mu": np.array(["a", "b"]), "sigma": np.eye(2)}, "`mu` holds <U1, not numbers"),
        ({"mu": np.array([{}, {}], dtype=object), "sigma": np.eye(2)}, "allow_pickle=False"),
    ],
)
def test_arrays_that_no_features_have_are_refused_in_one_line(tmp_path, arrays, said):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(GanError, match=said):
        load_statistics(tmp_path / "a.npz")
    refusal_of(tmp_path / "a.npz")


def test_files_that_are_no_archives_are_refused_in_one_line(tmp_path):
    path = tmp_path / "a.npz"
    assert "No such file" in refusal_of(path)
    assert "Is a directory" in refusal_of(tmp_path)
    path.write_bytes(b"")
    assert "not an .npz file" in refusal_of(path)
    np.save(path.with_suffix(".npy"), np.eye(3))
    assert "not an .npz file" in refusal_of(path.with_suffix(".npy"))
    np.savez(path, mu=np.zeros(3), sigma=np.eye(3))
    path.write_bytes(path.read_bytes()[:-30])
    assert "cut off" in refusal_of(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damage_anywhere_in_a_file_is_one_line_or_does_no_harm(tmp_path, save):
    known, buffer, path = draw(), io.BytesIO(), tmp_path / "a.npz"
    save(buffer, mu=known.mean, sigma=known.covariance)
    whole, damaged = buffer.getvalue(), 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            read, _ = load_statistics(path)
        except GanError:
            refusal_of(path)
            damaged += 1
        else:
            assert read.mean.tobytes() == known.mean.tobytes()
            assert read.covariance.tobytes() == known.covariance.tobytes()
    assert damaged > len(whole) // 14
