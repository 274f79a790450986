"""`gan generate`: a checkpoint and seeds -> PNG avatars."""

from pathlib import Path

import torch
from PIL import Image, PngImagePlugin

from gan.checkpoints import load_generator
from gan.devices import choose
from gan.errors import GanError
from gan.sampling import BATCH, GRID_COLUMNS, generate, seed_latents
from pipeline.images.contact_sheet import contact_sheet, save_png
from pipeline.number_ranges import parse_ranges
from pipeline.progress import track

MAX_SEEDS = 1_000_000


def parse_seeds(text: str) -> list[int]:
    """Seeds such as "7", "0-63" or "1,5,10-12"; GanError for anything else."""
    return parse_ranges(text, "--seeds", MAX_SEEDS)


def _save(image: Image.Image, path: Path, seed: str, ckpt: str) -> None:
    about = PngImagePlugin.PngInfo()
    about.add_text("gan.seed", seed)
    about.add_text("gan.run_key", ckpt)
    partial = path.with_name(f".{path.name}.partial")
    image.save(partial, format="PNG", pnginfo=about)
    partial.replace(path)


def run(ckpt: Path, seeds: str, out: Path, *, grid: bool) -> list[Path]:
    """Write one PNG a seed under `out`, or with `grid` one sheet; the same seed, the same picture.

    Returns the files. GanError if the checkpoint is none or `out` is a file.
    """
    wanted = parse_seeds(seeds)
    if out.exists() and not out.is_dir():
        raise GanError(f"{out}: is a file; --out names a folder")
    generator, origin = load_generator(ckpt)
    generator.to(choose("auto", "float32").device)
    try:
        out.mkdir(parents=True, exist_ok=True)
        batches = generate(generator, seed_latents(wanted, generator.latent_size))
        shown = track(batches, "generate, batches", -(-len(wanted) // BATCH))
        if grid:
            images = torch.cat(list(shown)).permute(0, 2, 3, 1).numpy()
            path = out / "grid.png"
            save_png(contact_sheet(images, min(GRID_COLUMNS, len(wanted))), path)
            return [path]
        files: list[Path] = []
        for batch in shown:
            for image in batch.permute(0, 2, 3, 1).numpy():
                seed = wanted[len(files)]
                files.append(out / f"{seed:06d}.png")
                _save(Image.fromarray(image), files[-1], str(seed), origin.run_key)
        return files
    except OSError as error:
        raise GanError(f"{out}: cannot be written: {error.strerror or error}") from None
