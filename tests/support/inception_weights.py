"""Stand-in weights of Inception and drawn pictures, for the tests of what needs them."""

import functools
import hashlib
import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PICTURES = 8


@functools.cache
def _benchmark(name):
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def standin():
    """The module benchmarks/standin.py."""
    return _benchmark("standin")


@functools.cache
def standin_content():
    """A stand-in file's bytes: made once a process, because it takes seconds."""
    return standin().standin_bytes(0, PICTURES)


def write_standin(path):
    """Write the stand-in to `path`; returns its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(standin_content())
    return hashlib.sha256(standin_content()).hexdigest()


def faces(first, count):
    """The painter's faces as images (N, 3, 64, 64) uint8."""
    return standin().painted(range(first, first + count))


def patterns(count):
    """Smooth colours with fine noise and an ellipse, by benchmarks/drawn.py: (N, 3, 64, 64)."""
    drawn = _benchmark("drawn")
    files = [io.BytesIO(drawn.draw(number, drawn.SMALL)) for number in range(count)]
    rows = [np.asarray(Image.open(file).resize((64, 64))) for file in files]
    return torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2)


def write_pngs(images, folder):
    """Write images (N, 3, H, W) as 000.png, 001.png, ...; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{row:03}.png" for row in range(len(images))]
    for image, file in zip(images, files, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file)
    return files
