"""`gan generate`: a checkpoint and seeds -> PNG avatars."""

from pathlib import Path

import torch
from PIL import Image

from gan.checkpoints import describe_checkpoint, load_generator
from gan.devices import choose_compute
from gan.errors import GanError
from gan.sampling import BATCH, GRID_COLUMNS, generate, seed_latents
from pipeline.console import track
from pipeline.number_ranges import parse_ranges
from pipeline.paths import sha256_of
from pipeline.pictures.contact_sheet import contact_sheet, encode_png, save_png
from pipeline.pictures.png_lineage import make_text_chunks

MAX_SEEDS = 1_000_000


def run(ckpt: Path, seeds: str, out: Path, *, grid: bool, truncation: float = 1.0) -> list[Path]:
    """Write one PNG a seed under `out`, or with `grid` one sheet; equal seeds give equal pictures.

    Text chunks hold the lineage (`pipeline.pictures.png_lineage`). seeds: such as 7, 0-63 or
    1,5,10-12. truncation: see `gan.sampling.generate`. Returns the files. Raises GanError
    for other seeds, or if `ckpt` is no checkpoint or `out` is a file.
    """
    wanted = parse_ranges(seeds, "--seeds", MAX_SEEDS)
    if out.exists() and not out.is_dir():
        raise GanError(f"{out}: is a file; --out names a folder")
    generator, origin = load_generator(ckpt)
    subject = describe_checkpoint(origin, sha256=sha256_of(ckpt))
    generator.to(choose_compute("auto", "float32").device)
    batches = generate(generator, seed_latents(wanted, generator.latent_size), truncation)
    tracked = track(batches, "generate, batches", -(-len(wanted) // BATCH))
    try:
        out.mkdir(parents=True, exist_ok=True)
        if grid:
            images = torch.cat(list(tracked)).permute(0, 2, 3, 1).numpy()
            sheet = contact_sheet(images, min(GRID_COLUMNS, len(wanted)))
            about = make_text_chunks(subject, seeds.replace(" ", ""), truncation)
            save_png(sheet, out / "grid.png", about)
            return [out / "grid.png"]
        files: list[Path] = []
        for batch in tracked:
            for image in batch.permute(0, 2, 3, 1).numpy():
                seed = wanted[len(files)]
                about = make_text_chunks(subject, str(seed), truncation)
                files.append(out / f"{seed:06d}.png")
                # in one step, but without flushing it to the disk: there may be many
                partial = out / f".{files[-1].name}.partial"
                partial.write_bytes(encode_png(Image.fromarray(image), about))
                partial.replace(files[-1])
        return files
    except OSError as error:
        raise GanError(f"{out}: cannot be written: {error.strerror or error}") from None
