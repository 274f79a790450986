"""What benchmarks/evaluate.py has judged: a checkout with all in it, and the same for the peer."""

import hashlib
import io
import os
import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from benchmarks.drawn import SMALL, draw
from benchmarks.processes import ROOT
from benchmarks.standin import standin_bytes
from gan.checkpoints import Origin, save_checkpoint
from gan.models.interfaces import build_generator, initialise
from gan.params.file import Params, load_params
from gan.sampling import BATCH, draw_latents
from gan.tensor_cache import Images, TensorCache, cache_digest, pixel_digests
from gan.training.ema import recalibrate
from pipeline.features.inception_file import NAME, weights_file
from pipeline.paths import Paths
from pipeline.preprocessing.cache_writer import (
    replace_folder,
    space_needed,
    write_index,
    write_meta,
)
from pipeline.preprocessing.workers.image_slots import StagedImages

SIZE = 64
MEASURED = 256  # latents for the generator's batch norms


@dataclass(frozen=True)
class Judged:
    """A folder with params.yaml, cache/, weights/, a checkpoint; and what pytorch-fid takes."""

    root: Path

    @property
    def checkout(self) -> Path:
        return self.root / "checkout"

    @property
    def checkpoint(self) -> Path:
        return self.root / "generator.pt"

    @property
    def reals(self) -> Path:
        """The cache's images as PNG files."""
        return self.root / "reals"

    @property
    def torch_home(self) -> Path:
        """Where pytorch-fid's command finds the weights that it would download."""
        return self.root / "torch"

    def fresh(self, name: str) -> Path:
        """A copy of the checkout with nothing evaluated in it yet; its files are links."""
        return Path(shutil.copytree(self.checkout, self.root / name, copy_function=os.link))


def prepare(root: Path, reals: int, pictures: int = 32) -> Judged:
    """Draw `reals` images and make all the rest; `pictures` calibrate the stand-in weights."""
    judged = Judged(root)
    judged.checkout.mkdir(parents=True)
    params = _params(judged, _weights(judged, pictures))
    cache = write_cache(Paths(judged.checkout).cache, drawn_images(reals))
    _pngs(cache, judged.reals)
    _checkpoint(judged.checkpoint, params, cache.digest)
    return judged


def _weights(judged: Judged, pictures: int) -> str:
    """The stand-in where both look for it; its sha256."""
    content = standin_bytes(0, pictures)
    for path in (
        weights_file(Paths(judged.checkout)),
        judged.torch_home / "hub" / "checkpoints" / NAME,
    ):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _params(judged: Judged, sha256: str) -> Params:
    """params.yaml as shipped, with the stand-in's sha256."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["features"]["inception_sha256"] = sha256
    path = judged.checkout / "params.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_params(path)


def drawn_images(count: int) -> Images:
    """(count, 64, 64, 3) uint8, all of them different."""
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    for number in range(count):
        with Image.open(io.BytesIO(draw(number, SMALL))) as image:
            images[number] = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    return images


def write_cache(folder: Path, images: Images) -> TensorCache:
    """A tensor cache of these images, all of them for training."""
    counts, settings = {"train": len(images), "holdout": 0}, {"size": SIZE}
    pixels = pixel_digests(images)
    rows = np.arange(len(images))
    with replace_folder(folder, space_needed(len(images), SIZE)) as staging:
        with closing(StagedImages(staging / "images.npy", SIZE, create=True)) as target:
            target.write(rows, images)
            target.close_holes(rows)
        columns = {
            "row": rows,
            "sha256": [each.tobytes().hex() for each in pixels],
            "split": ["train"] * counts["train"] + ["holdout"] * counts["holdout"],
            "pixels": [each.tobytes() for each in pixels],
        }
        write_index(staging, [columns])
        digest = cache_digest(pixels, settings, counts)
        meta = {"settings": settings, "filter": "none", "snapshot": "drawn", "statistics": {}}
        write_meta(staging, meta | {"counts": counts, "digest": digest})
    return TensorCache.open(folder)


def _pngs(cache: TensorCache, folder: Path) -> None:
    folder.mkdir()
    for number, image in enumerate(cache.images):
        Image.fromarray(image).save(folder / f"{number:06d}.png", compress_level=1)


def _checkpoint(path: Path, params: Params, digest: str) -> None:
    """params.yaml's generator, initialised, as if it had been trained on the cache."""
    generator = build_generator(params.model, SIZE)
    initialise(generator, params.model.generator, torch.Generator().manual_seed(0))
    # else an untrained generator's images are all of the same grey
    latents = draw_latents(0, "norms", MEASURED, generator.latent_size)
    recalibrate(generator, torch.split(latents, BATCH))
    model = params.model.model_dump()
    save_checkpoint(path, Origin(model, SIZE, 0, "0" * 64, digest, "initialised"), generator)
