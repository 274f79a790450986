"""`gan generate`: a checkpoint and seeds -> PNG avatars."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gan.checkpoints import describe_checkpoint, load_generator
from gan.devices import choose_compute
from gan.errors import GanError
from gan.sampling import BATCH, GRID_COLUMNS, generate, seed_latents, truncate_latents
from pipeline.console import track
from pipeline.number_ranges import parse_ranges
from pipeline.pictures.contact_sheet import contact_sheet, encode_png, save_png
from pipeline.pictures.png_lineage import make_text_chunks

MAX_SEEDS = 1_000_000


def parse_seeds(text: str) -> list[int]:
    """Seeds such as "7", "0-63" or "1,5,10-12"; GanError for anything else."""
    return parse_ranges(text, "--seeds", MAX_SEEDS)


def _save(image: NDArray[np.uint8], path: Path, text: PngInfo) -> None:
    """Write the file in one step, but without flushing it to the disk: there may be many."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(encode_png(Image.fromarray(image), text))
    partial.replace(path)


def run(ckpt: Path, seeds: str, out: Path, *, grid: bool, truncation: float = 1.0) -> list[Path]:
    """Write one PNG a seed under `out`, or with `grid` one sheet; equal seeds give equal pictures.

    Text chunks hold the lineage (`pipeline.pictures.png_lineage`). truncation: see
    `gan.sampling.truncate_latents`. Returns the files. Raises GanError if `ckpt` is no checkpoint
    or `out` is a file.
    """
    wanted = parse_seeds(seeds)
    if out.exists() and not out.is_dir():
        raise GanError(f"{out}: is a file; --out names a folder")
    generator, origin = load_generator(ckpt)
    subject = describe_checkpoint(origin, sha256=hashlib.sha256(ckpt.read_bytes()).hexdigest())
    generator.to(choose_compute("auto", "float32").device)
    try:
        out.mkdir(parents=True, exist_ok=True)
        latents = truncate_latents(seed_latents(wanted, generator.latent_size), truncation)
        batches = generate(generator, latents)
        tracked = track(batches, "generate, batches", -(-len(wanted) // BATCH))
        if grid:
            images = torch.cat(list(tracked)).permute(0, 2, 3, 1).numpy()
            path = out / "grid.png"
            sheet = contact_sheet(images, min(GRID_COLUMNS, len(wanted)))
            save_png(sheet, path, make_text_chunks(subject, seeds.replace(" ", ""), truncation))
            return [path]
        files: list[Path] = []
        for batch in tracked:
            for image in batch.permute(0, 2, 3, 1).numpy():
                seed = wanted[len(files)]
                files.append(out / f"{seed:06d}.png")
                _save(image, files[-1], make_text_chunks(subject, str(seed), truncation))
        return files
    except OSError as error:
        raise GanError(f"{out}: cannot be written: {error.strerror or error}") from None
