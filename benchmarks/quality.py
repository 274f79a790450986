"""How good pictures are after equal times of training, beside torchgan and the textbook's loop.

    python benchmarks/quality.py [--cache cache] [--minutes 10] [--marks 1,3,5] [--seeds 1,2]
                                 [--fakes 5000] [--threads N] [--out DIR] [--set KEY=VALUE]...
                                 [--recipes ours,textbook,torchgan]

The cache is `gan preprocess`'s, with a hold-out. One after the other, each in a fresh process,
train on its training images, on the CPU with as many threads:

ours      what params.yaml names, changed by --set, by our engine; its averaged generator draws
textbook  PyTorch's DCGAN example (peers/textbook.py): width 64, batches of 128, Adam 2e-4 with
          betas (0.5, 0.999), float32; not averaged, as its code is
torchgan  torchgan 0.1.0's Trainer (peers/with_torchgan.py): its networks of width 64 without batch
          norm in the critic, its WGAN-GP loss and penalty, batches of 64; not averaged either

Minutes are wall time of training: steps, batches (the peers' from PNG files, by two workers more),
and the measuring of our averaged generator's batch norms. What is drawn, logged and judged is not
counted, nor is the start. At each mark and at the end fakes, drawn in eval mode from latents that
nothing else uses, are compared with the hold-out: by Lite0's features Fréchet and kernel distance,
precision, recall, density and coverage; by pixels sliced Wasserstein and spectrum distance. No
snapshot is selected. train.seed is each of --seeds; train.device and init_from do not count.

DIR gets RECIPE-SEED.json and .png (64 fakes) as soon as each is done, at last curves.svg and
results.json. A second start with the same DIR leaves out what is done. The last line is JSON: all
rows, their means over the seeds, ratios of ours to each peer at the end.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from by_clock import TEXTBOOK_BATCH
from chart import chart
from PIL import Image
from processes import ROOT, finish, start
from rich.console import Console
from train import TORCHGAN

from gan.atomic import write_atomically
from gan.errors import GanError
from gan.features.efficientnet import Lite0
from gan.features.extraction import (
    MIN_CHUNK,
    allocate_features,
    extract_features,
    image_batches,
)
from gan.features.statistics import FeatureSet, statistics_of
from gan.metrics.build import load_metric, number_of
from gan.metrics.descriptors import DescribedSample
from gan.params.file import Params, parse_params, parse_yaml, read_text
from gan.sampling import GRID_COLUMNS, GRID_SEEDS
from gan.tensor_cache import Images, TensorCache
from pipeline.code_digest import TRAINING, code_digest
from pipeline.evaluation.format_number import count, figure
from pipeline.features.sources import CacheSplit
from pipeline.features.store import FeatureStore
from pipeline.pictures.contact_sheet import contact_sheet, save_png
from pipeline.preprocessing.workers.pool import usable_cores
from pipeline.runs.columns import Column, print_table
from pipeline.training.identity import digest_of

RECIPES = ("ours", "textbook", "torchgan")
SIZES = (32, 64, 128, 256)  # of the peers' networks
METRICS = (
    "frechet_distance",
    "kernel_distance",
    "precision_recall",
    "sliced_wasserstein",
    "spectrum_distance",
)
DETAILS = ("kd_se", "swd_")  # metrics that stand in the JSON only
LEAST = 8  # fakes, and images of the hold-out
CHIEF = "fd_lite0"
WORKER = "import runpy; runpy.run_module('by_clock', run_name='__main__')"

Row = dict[str, Any]
"""One recipe and seed at one mark: minutes, seconds of training, images seen, metrics."""


class Judge:
    """Compares fakes with the hold-out of a cache, whose features are kept in `folder`."""

    def __init__(self, cache: TensorCache, folder: Path) -> None:
        self._extractor = Lite0(torch.device("cpu"))
        size = cache.size, cache.size
        metrics = [load_metric(name) for name in METRICS]
        self._compare = [each.compare for each in metrics if each.compare]
        self._descriptors = [each.pixels(size) for each in metrics if each.pixels]
        source = CacheSplit(cache, "holdout")
        (self._real,) = FeatureStore(folder, folder).get(source, [self._extractor], MIN_CHUNK)
        self._described = DescribedSample(self._descriptors, len(source))
        for _ in self._described.watch(source.batches(MIN_CHUNK)):
            pass

    def __call__(self, fakes: Images) -> dict[str, float]:
        """Values by the beginnings of metric keys: `fd_lite0`, `swd`."""
        vectors = allocate_features(len(fakes), self._extractor)
        described = DescribedSample(self._descriptors, len(fakes))
        batches = described.watch(image_batches(fakes, MIN_CHUNK))
        extract_features(batches, [self._extractor], [vectors])
        features = FeatureSet(statistics_of(vectors), vectors)
        found: dict[str, float] = {}
        for compare in self._compare:
            for name, value in compare(self._real, features).items():
                found[f"{prefix_of(name)}_{self._extractor.name}"] = value
        for each in self._descriptors:
            real = self._described.vectors[each.name]
            for name, value in each.compare(real, described.vectors[each.name]).items():
                found[prefix_of(name)] = value
        return found


def prefix_of(name: str) -> str:
    """Beginning of a number's metric key."""
    return number_of(name).prefix or name


@dataclass(frozen=True)
class Contest:
    """What all recipes have in common. values: of params.yaml; work: a folder that will go."""

    arguments: argparse.Namespace
    cache: TensorCache
    values: Any
    judge: Judge
    work: Path
    out: Path

    @property
    def minutes(self) -> list[float]:
        return [*self.arguments.marks, self.arguments.minutes]

    def rows(self, recipe: str, seed: int) -> list[Row]:
        """Train and judge a recipe, unless that is done; the rows of all marks."""
        file, settings = self.out / f"{recipe}-{seed}.json", self._settings(recipe, seed)
        if file.exists():
            done = json.loads(file.read_text(encoding="utf-8"))
            if done["settings"] != settings:
                raise GanError(f"{file}: made with other settings, cache, code or machine; "
                               "give another --out")  # fmt: skip
            print(f"{recipe}, seed {seed}: done before, left out ({file})", flush=True)
        else:
            print(f"{recipe}, seed {seed}: training for {self.minutes[-1]:g} minutes", flush=True)
            done = {"settings": settings, "rows": self._train(recipe, seed)}
            write_atomically(file, json.dumps(done, indent=1) + "\n")
        rows: list[Row] = done["rows"]
        return rows

    def _settings(self, recipe: str, seed: int) -> dict[str, Any]:
        """All that decides the rows."""
        settings = {
            "minutes": self.minutes,
            "fakes": self.arguments.fakes,
            "metrics": list(METRICS),
            "threads": self.arguments.threads,
            "cache": self.cache.digest,
            "torch": torch.__version__,
            "processor": processor(),
        }
        if recipe == "ours":
            params = self._params(seed)
            decided = {"model": params.model.model_dump(), "train": params.train.active()}
            settings |= {"params": digest_of(decided), "code": code_digest(TRAINING)}
        return settings

    def _params(self, seed: int) -> Params:
        values = json.loads(json.dumps(self.values))
        values["train"] |= {"seed": seed, "device": "cpu", "init_from": ""}
        return parse_params(values, "params.yaml with --set")

    def _train(self, recipe: str, seed: int) -> list[Row]:
        job = {
            "recipe": recipe,
            "seed": seed,
            "size": self.cache.size,
            "seconds": [60 * each for each in self.minutes],
            "fakes": self.arguments.fakes,
            "cache": str(self.cache.folder.resolve()),
            "params": self._params(seed).model_dump(),
            "faces": str(self.work / "faces"),
        }
        if recipe != "ours":
            lay_out(self.cache.split("train"), self.work / "faces" / "all")
        folder = self.work / f"{recipe}-{seed}"
        folder.mkdir()
        numbers = finish(start(WORKER, folder, json.dumps(job)))
        rows = []
        for index, minutes in enumerate(self.minutes):
            fakes = np.load(folder / f"fakes-{index}.npy")
            seconds, images = numbers[2 * index : 2 * index + 2]
            row = {"recipe": recipe, "seed": seed, "minutes": minutes}
            row |= {"seconds": round(seconds, 2), "images": int(images)}
            rows.append(row | self.judge(fakes))
        sheet = contact_sheet(fakes[: len(GRID_SEEDS)], GRID_COLUMNS)
        save_png(sheet, self.out / f"{recipe}-{seed}.png")
        return rows


def processor() -> str:
    """Name of what computes here, as far as torch knows it."""
    return str(getattr(torch.cpu, "get_capabilities", dict)().get("cpu_name", "unknown"))


def lay_out(images: Images, folder: Path) -> None:
    """The images as PNG files, which ImageFolder wants; once."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:08}.png", compress_level=1)


def change(values: Any, settings: Sequence[str]) -> Any:
    """Parsed params.yaml with dotted keys replaced, `train.batch_size=64`."""
    for each in settings:
        key, equals, text = each.partition("=")
        *sections, name = key.split(".")
        section = values
        for part in sections:
            section = section.get(part) if isinstance(section, dict) else None
        if not (equals and isinstance(section, dict)):
            raise GanError(f"--set {each}: give SECTION.KEY=VALUE with a section of params.yaml")
        section[name] = parse_yaml(text, f"--set {each}")
    return values


def means_of(rows: Sequence[Row]) -> list[Row]:
    """Rows by recipe and mark: means over the seeds."""
    groups: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["recipe"], row["minutes"]), []).append(row)
    return [
        {"recipe": recipe, "seeds": len(group), "minutes": minutes}
        | {key: fmean(row[key] for row in group) for key in numbers_of(group[0])}
        for (recipe, minutes), group in groups.items()
    ]


def numbers_of(row: Row) -> list[str]:
    """Keys that have a mean."""
    return [key for key in row if key not in ("recipe", "seed", "seeds", "minutes")]


def ratios_of(means: Sequence[Row], minutes: float) -> dict[str, dict[str, float | None]]:
    """Ours divided by each peer at the end; None where a peer has 0."""
    last = {row["recipe"]: row for row in means if row["minutes"] == minutes}
    ours = last.pop("ours", {})
    return {
        f"ours/{name}": {
            key: float(f"{ours[key] / row[key]:.4g}") if row[key] else None
            for key in numbers_of(ours)
        }
        for name, row in last.items()
    }


def show(rows: Sequence[Row], means: Sequence[Row]) -> None:
    """Print a table, the means after the rows if there are several seeds."""
    several = len(rows) > len(means)
    shown = [*rows, *(means if several else [])]
    columns = [
        Column("recipe", [row["recipe"] for row in shown], left=True),
        Column("seed", [str(row.get("seed", "mean")) for row in shown]),
        Column("minutes", [f"{row['minutes']:g}" for row in shown]),
        Column("images", [count(round(row["images"])) for row in shown]),
    ]
    columns += [
        Column(key.removesuffix("_lite0"), [figure(row[key]) for row in shown])
        for key in numbers_of(rows[0])
        if key not in ("seconds", "images") and not key.startswith(DETAILS)
    ]
    print_table(columns, Console())


def check(arguments: argparse.Namespace, cache: TensorCache) -> None:
    """GanError for what can't be done, before anything is."""
    cores, marks = usable_cores(), arguments.marks
    recipes = arguments.recipes
    if not 1 <= arguments.threads <= cores:
        raise GanError(f"--threads {arguments.threads}: give 1 to {cores}, the cores here")
    if sorted({0.0, *marks, arguments.minutes}) != [0.0, *marks, arguments.minutes]:
        raise GanError(
            "--minutes, --marks: give ascending minutes above 0, --minutes the greatest"
        )
    if unknown := sorted(set(recipes) - set(RECIPES)):
        raise GanError(f"--recipes {unknown[0]}: choose from {', '.join(RECIPES)}")
    if arguments.fakes < LEAST:
        raise GanError(f"--fakes {arguments.fakes}: give {LEAST} or more")
    held, train = len(cache.split("holdout")), len(cache.split("train"))
    if held < LEAST:
        raise GanError(f"{cache.folder}: {held} images are held out, {LEAST} are needed; raise "
                       "preprocess.holdout")  # fmt: skip
    if "torchgan" in recipes and find_spec("torchgan") is None:
        raise GanError("torchgan is not installed: pip install --no-deps "
                       f"{TORCHGAN}, or --recipes ours,textbook")  # fmt: skip
    if set(recipes) != {"ours"}:
        if cache.size not in SIZES:
            raise GanError(f"{cache.folder}: images of {cache.size} px; the peers draw "
                           f"{', '.join(map(str, SIZES))} (or --recipes ours)")  # fmt: skip
        if train < TEXTBOOK_BATCH:
            raise GanError(f"{cache.folder}: {train} training images, a batch of the textbook has "
                           f"{TEXTBOOK_BATCH}")  # fmt: skip


def run(arguments: argparse.Namespace, work: Path) -> None:
    cache = TensorCache.open(arguments.cache)
    check(arguments, cache)
    values = parse_yaml(read_text(arguments.params), str(arguments.params))
    parse_params(change(values, arguments.set), "params.yaml with --set")
    torch.set_num_threads(arguments.threads)
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # of all that is started here
    out = arguments.out or work / "out"
    out.mkdir(parents=True, exist_ok=True)
    contest = Contest(arguments, cache, values, Judge(cache, out / "features"), work, out)
    rows = [
        row
        for seed in arguments.seeds
        for recipe in arguments.recipes
        for row in contest.rows(recipe, seed)
    ]
    means = means_of(rows)
    result = {
        "fakes": arguments.fakes,
        "reals": len(cache.split("holdout")),
        "threads": arguments.threads,
        "processor": processor(),
        "rows": rows,
        "means": means,
        "ratios": ratios_of(means, arguments.minutes),
    }
    write_atomically(out / "results.json", json.dumps(result, indent=1) + "\n")
    curves = {name: list(curve_of(means, name)) for name in arguments.recipes}
    svg = chart(curves, "minutes of training", "Fréchet distance to the hold-out by Lite0")
    write_atomically(out / "curves.svg", svg)
    show(rows, means)
    print(json.dumps(result))


def curve_of(means: Sequence[Row], recipe: str) -> Iterator[tuple[float, float]]:
    """Minutes and distance at each mark."""
    for row in means:
        if row["recipe"] == recipe:
            yield row["minutes"], row[CHIEF]


def main() -> None:
    def several(kind: Any) -> Any:
        return lambda text: list(dict.fromkeys(kind(each) for each in text.split(",")))

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--recipes", type=several(str), default=list(RECIPES))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--marks", type=several(float), default=[], help="minutes")
    parser.add_argument("--seeds", type=several(int), default=[1], help="of training")
    parser.add_argument("--fakes", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as name:
            run(arguments, Path(name))
    except GanError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
