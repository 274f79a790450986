"""Our Fréchet distance beside the command `python -m pytorch_fid`, on the same PNG files."""

import inspect
import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
import torch
from inception_weights import faces, write_pngs, write_standin
from pytorch_fid.fid_score import compute_statistics_of_path

from gan.features.extraction import allocate_features, extract_features, rebatch
from gan.features.inception import Inception
from gan.features.statistics import load_statistics, save_statistics, statistics_of
from gan.metrics.frechet_distance import frechet_distance

NAME = "pt_inception-2015-12-05-6726825d.pth"
COUNT = 16  # a side

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "disp" not in inspect.signature(scipy.linalg.sqrtm).parameters,
        reason="pytorch-fid needs an argument that this scipy no longer has",
    ),
]


def sides():
    """Painted faces, and other ones that are darker and blurred as weak generators' fakes are."""
    real, fake = faces(0, COUNT), faces(1000, COUNT)
    blurred = torch.nn.functional.avg_pool2d(fake.float(), 3, stride=1, padding=1)
    return {"real": real, "fake": (0.9 * blurred).to(torch.uint8)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folders of PNGs, and a TORCH_HOME where the stand-in stands for the download."""
    place = tmp_path_factory.mktemp("pytorch_fid")
    write_standin(place / "home" / "hub" / "checkpoints" / NAME)
    for name, images in sides().items():
        write_pngs(images, place / name)
    return place


@pytest.fixture(scope="module")
def ours(place):
    """Statistics of both sides as our evaluation takes them."""
    weights = place / "home" / "hub" / "checkpoints" / NAME
    inception = Inception(weights, write_standin(weights), torch.device("cpu"))
    statistics = {}
    for name, images in sides().items():
        features = allocate_features(COUNT, inception)
        extract_features(rebatch(images.split(5), 16), [inception], [features])
        statistics[name] = statistics_of(features)
    return statistics


def pytorch_fid(place, *arguments):
    command = [sys.executable, "-m", "pytorch_fid", "--num-workers", "0", "--device", "cpu"]
    environment = os.environ | {"TORCH_HOME": str(place / "home")}
    done = subprocess.run(
        [*command, *map(str, arguments)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def number(text):
    return float(text.split("FID:")[1])


def test_our_number_is_the_commands_and_statistics_files_go_both_ways(place, ours):
    our_number = frechet_distance(ours["fake"], ours["real"])
    their_number = number(pytorch_fid(place, place / "fake", place / "real"))
    assert their_number > 10  # the features are alive
    assert our_number == pytest.approx(their_number, rel=1e-3)

    pytorch_fid(place, "--save-stats", place / "real", place / "theirs.npz")
    theirs, _ = load_statistics(place / "theirs.npz")
    assert frechet_distance(ours["fake"], theirs) == pytest.approx(their_number, rel=1e-3)

    file = place / "ours.npz"
    save_statistics(file, ours["fake"], {"extractor": "inception"})
    mean, covariance = compute_statistics_of_path(str(file), None, 50, 2048, "cpu")
    assert np.array_equal(mean, ours["fake"].mean)
    assert np.array_equal(covariance, ours["fake"].covariance)
