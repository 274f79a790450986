"""The preprocess stage: raw snapshot to tensor cache, with exact duplicates out and a split.

Which images are in, and in which order, is decided here; bytes become avatars in images/.
"""

from collections.abc import Iterable, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from gan.cache import Split, TensorCache
from gan.errors import GanError
from gan.params import Params, PreprocessParams
from pipeline.images import crop, decode
from pipeline.images.avatars import FaceRecipe, Outcome, Recipe
from pipeline.images.cache_writer import (
    ImageFile,
    publishing,
    refuse_file,
    write_index,
    write_meta,
)
from pipeline.images.face_boxes import BoxFile
from pipeline.images.face_rules import FaceRules
from pipeline.images.faces import Detector, choose_detector
from pipeline.images.pool import Job, read_blob, usable_cores, work_all
from pipeline.images.rejects import Rejected, one_line
from pipeline.paths import Paths
from pipeline.preprocess_report import Kept, PreprocessSummary, Tally, report, summarise
from pipeline.progress import progress
from pipeline.snapshot.manifest import Row
from pipeline.snapshot.reader import Location, Snapshot


def run(params: Params, paths: Paths, workers: int | None = None) -> PreprocessSummary:
    """Build cache/ and its reports from data/; the same bytes for any number of workers.

    Raises GanError if the detector of faces is unfit, the snapshot is not whole, no image can be
    used, or the disk is full; the cache that was there stays then.
    """
    settings = params.preprocess
    refuse_file(paths.reports)
    detector = choose_detector(settings.faces, paths.faces)
    boxes = _box_file(detector)
    snapshot = Snapshot.open(paths.data)
    snapshot.verify()
    rows, locations = snapshot.rows, snapshot.locations()
    order, tally = _plan(rows, settings.holdout)
    recipe = _recipe(settings, detector)
    jobs = _jobs(rows, order, locations, boxes)
    with publishing(paths.cache, len(order), settings.size) as folder:
        with (folder / "images.npy").open("wb") as file:
            images = ImageFile(file, settings.size)
            with closing(work_all(jobs, recipe, workers or usable_cores())) as outcomes:
                _fill(images, rows, order, outcomes, tally)
            _complete(folder, settings, recipe, snapshot, images, tally)
        cache = TensorCache.open(folder)
        summary = summarise(rows, tally, cache)

        def load(row: int) -> Image.Image | None:
            data = read_blob(locations[rows[row].sha256])
            try:
                return decode.upright(data, recipe.geometry)
            except decode.BadImageError:
                return None

        report(paths.reports, tally.rejects, summary, cache.images, load)
    return summary


def _box_file(detector: Detector | None) -> BoxFile | None:
    return BoxFile.read(detector.file) if detector and detector.name == "boxes" else None


def _recipe(settings: PreprocessParams, detector: Detector | None) -> Recipe:
    red, green, blue = settings.background
    geometry = decode.Geometry(settings.size, (red, green, blue), settings.max_pixels)
    if detector is None:
        return Recipe(geometry)
    faces = settings.faces
    rules = FaceRules(faces.min_score, faces.min_side, faces.min_share, faces.max_faces)
    return Recipe(geometry, FaceRecipe(detector, rules, crop.Frame(faces.margin, faces.centre)))


def _plan(rows: Sequence[Row], holdout: float) -> tuple[list[int], Tally]:
    """Row numbers to decode, each file once: those of train, then those of holdout."""
    order: dict[Split, list[int]] = {"train": [], "holdout": []}
    seen: set[str] = set()
    tally = Tally()
    for number, row in enumerate(rows):
        if row.status != "ok":
            continue
        if row.sha256 in seen:
            tally.duplicate_files += 1
            continue
        seen.add(row.sha256)
        order[_split(row.sha256, holdout)].append(number)
    return order["train"] + order["holdout"], tally


def _split(digest: str, holdout: float) -> Split:
    """Split of a file by its sha256 alone, so that it stays when images are added.

    The last 64 bits decide: collections are often cut by the first digits of a hash, and in such
    a part of one these are no longer evenly spread.
    """
    return "holdout" if int(digest[-16:], 16) / 2**64 < holdout else "train"


def _jobs(
    rows: Sequence[Row],
    order: Sequence[int],
    locations: dict[str, Location],
    boxes: BoxFile | None,
) -> list[Job]:
    """What the workers get, in order; GanError if the file of boxes is of other pictures."""
    if boxes is None:
        return [Job(locations[rows[number].sha256]) for number in order]
    urls: dict[str, list[str]] = {}
    for row in rows:
        if row.status == "ok":
            urls.setdefault(row.sha256, []).append(row.url)
    digests = [rows[number].sha256 for number in order]
    jobs = [Job(locations[digest], boxes.of(digest, urls[digest])) for digest in digests]
    if all(job.noted is None for job in jobs):
        raise GanError(f"{boxes.path}: names none of the snapshot's pictures by sha256 or url")
    return jobs


def _fill(
    images: ImageFile,
    rows: Sequence[Row],
    order: Sequence[int],
    outcomes: Iterable[Outcome],
    tally: Tally,
) -> None:
    """Append the good and new avatars; of equal ones the first in cache order is kept."""
    seen: set[bytes] = set()
    with progress("preprocess", len(order)) as advance:
        for done, (number, outcome) in enumerate(zip(order, outcomes, strict=True), start=1):
            row = rows[number]
            tally.faces += outcome.found
            tally.rejects += [Rejected(number, row.url, each) for each in outcome.rejects]
            for avatar in outcome.avatars:
                digest = sha256(avatar.pixels.data).digest()
                if digest in seen:
                    tally.duplicate_pixels += 1
                    continue
                seen.add(digest)
                images.append(avatar.pixels)
                side = avatar.side or min(row.width, row.height)
                tally.kept.append(Kept(number, avatar.box, side))
            duplicates = tally.duplicate_files + tally.duplicate_pixels
            advance(done, f"{len(tally.rejects)} rejected, {duplicates} duplicates")


def _complete(
    folder: Path,
    settings: PreprocessParams,
    recipe: Recipe,
    snapshot: Snapshot,
    images: ImageFile,
    tally: Tally,
) -> None:
    """Close images.npy, and write the other files of the cache."""
    digests = [snapshot.rows[kept.row].sha256 for kept in tally.kept]
    splits = [_split(digest, settings.holdout) for digest in digests]
    counts = _counts(splits, tally)
    decided = _decided(settings, recipe)
    digest = images.close(decided, counts)
    boxes = [kept.box for kept in tally.kept]
    write_index(folder, digests, [kept.row for kept in tally.kept], splits, boxes)
    resampling = decode.FILTER if recipe.faces is None else crop.FILTER
    write_meta(folder, decided, counts, snapshot.digest, digest, resampling)


def _decided(settings: PreprocessParams, recipe: Recipe) -> dict[str, Any]:
    """The settings that decide the cache: for the file of a detector, its content."""
    values = settings.model_dump()
    faces = values.pop("faces")
    if recipe.faces is None:
        return values | {"faces": {"detector": "none"}}
    for named in ("detector", "file"):
        del faces[named]
    return values | {"faces": recipe.faces.detector.settings() | faces}


def _counts(splits: Sequence[Split], tally: Tally) -> dict[str, int]:
    counts = {"train": splits.count("train"), "holdout": splits.count("holdout")}
    if counts["train"]:
        return counts
    if counts["holdout"]:
        raise GanError(
            f"no image is left to train on, {counts['holdout']} are held out; lower "
            "preprocess.holdout or scrape more images"
        )
    if not tally.rejects:
        raise GanError("the snapshot holds no image at all; scrape again with another source")
    first = min(tally.rejects, key=lambda each: each.row)
    pictures = len({each.row for each in tally.rejects})
    reason = f"{first.reject.reason} {first.reject.detail}".rstrip()
    raise GanError(
        f"none of {pictures} images can be used; the first, {one_line(first.url)}: "
        f"{one_line(reason)}; scrape again with another source, or change preprocess.faces"
    )
