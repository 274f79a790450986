"""What a row says before its first number.

Of a training all of it comes from the checkpoint's lineage, so that a row that is made later, from
files alone, says the same as the one that the training made.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.paths import Paths
from pipeline.tracking.provenance.uncommitted import empty, uncommitted, whole
from pipeline.tracking.run import Run

DESCRIPTION = "mlflow.note.content"
"""The tag that MLflow's UI shows above a run, as Markdown."""

SOURCE = ("params.yaml", "dvc.yaml", "source.yaml")
"""Small files that tell what ran to somebody who has only the row."""

OBJECTIVES = {
    "bce": "Non-saturating GAN",
    "wgan_gp": "WGAN-GP",
    "hinge": "Hinge GAN",
    "lsgan": "LSGAN",
    "relativistic": "Relativistic GAN",
}
FAMILIES = {"dcgan": "DCGAN", "upsample": "upsampling", "resnet": "ResNet"}


def describe_training(row: Run, lineage: Mapping[str, Any]) -> None:
    """Hyperparameters, digests, dataset, a sentence, and where the data's own rows are."""
    decided = lineage["decided"]
    length = {"images": decided["images"]}
    row.params({"model": decided["model"], "train": decided["train"] | length})
    row.params({"cache": lineage["preprocess"]})
    row.tags(
        {
            "cache_digest": decided["cache_digest"],
            "code_digest": decided["code_digest"],
            "snapshot_digest": lineage["snapshot"],
            DESCRIPTION: description(lineage),
        }
    )
    size = lineage["preprocess"]["size"]
    row.dataset(
        f"avatars {size}px",
        decided["cache_digest"],
        source={
            "snapshot": lineage["snapshot"],
            "source": lineage["source"],
            "licences": lineage["licences"],
            "columns": {"image": f"uint8 ({size}, {size}, 3)", "split": "string"},
        },
        profile=lineage["counts"],
    )


def keep_source(row: Run, paths: Paths) -> None:
    """The settings as artefacts, and what the commit lacks as a patch, with a tag that says so."""
    for name in SOURCE:
        if (paths.root / name).is_file():
            row.artifact(paths.root / name, "source")
    if patch := uncommitted(paths.root):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "uncommitted.patch"
            file.write_bytes(patch)
            row.artifact(file, "source")
        part = "nothing of it" if empty(patch) else "in part"
        row.tags({"git_patch": "whole" if whole(patch) else part})


def description(lineage: Mapping[str, Any]) -> str:
    """The sentence, and below it what is looked for first, as Markdown."""
    source, licences = lineage["source"], ", ".join(lineage["licences"])
    facts = {
        "data": source.get("source"),
        "licence": source.get("licence") or licences,
        "snapshot": lineage["snapshot"][:12],
        "cache": lineage["decided"]["cache_digest"][:12],
    }
    listed = ", ".join(f"{name} `{text}`" for name, text in facts.items() if text)
    return f"{sentence(lineage)}\n\n{listed}"


def sentence(lineage: Mapping[str, Any]) -> str:
    """One sentence: what learned, from what, for how long."""
    decided = lineage["decided"]
    model, train = decided["model"], decided["train"]
    of = _named(lineage["source"].get("source"))
    size = lineage["preprocess"]["size"]
    return (
        f"{OBJECTIVES.get(train['objective'], train['objective'])} on "
        f"{lineage['counts']['train']:,} avatars of {size} px{f' from {of}' if of else ''}: "
        f"{_networks(model['generator'], model['discriminator'])}, {decided['images']:,} images "
        f"in batches of {train['batch_size']}, seed {train['seed']}."
    )


def _named(source: str | None) -> str | None:
    return "the embedded gallery" if source == "embedded" else source


def _networks(generator: Mapping[str, Any], discriminator: Mapping[str, Any]) -> str:
    one, other = _network(generator), _network(discriminator)
    if one == other:
        return f"generator and discriminator {one}"
    return f"generator {one} against discriminator {other}"


def _network(settings: Mapping[str, Any]) -> str:
    family = FAMILIES.get(settings["family"], settings["family"])
    return f"{family} of width {settings['width']}"


def of_scrape(counts: Mapping[str, int], source: str, fetched: int) -> str:
    """A sentence about a dataset. counts: rows by status; fetched: pictures new in this call."""
    whole_of, kept = sum(counts.values()), counts.get("ok", 0)
    lost = f", {whole_of - kept:,} others could not be had" if whole_of > kept else ""
    told = f"{kept:,} pictures{lost}; {fetched:,} came in this call."
    return f"Dataset of {_named(source)}: {told}"


def of_preprocess(size: int, read: int, train: int, holdout: int) -> str:
    """A sentence about a tensor cache."""
    return (
        f"Tensor cache of {train + holdout:,} avatars of {size} px from {read:,} pictures: "
        f"{train:,} to learn from, {holdout:,} held out."
    )


def of_reference(extractors: list[str], counts: Mapping[str, int]) -> str:
    """A sentence about features of real images."""
    splits = " and ".join(f"{n:,} of {split}" for split, n in counts.items())
    return f"Features of the real images by {', '.join(extractors) or 'no extractor'}: {splits}."
