"""Descriptions of MLflow runs: params, tags, dataset and a sentence, before the first metric.

Those of a training come from its checkpoint's lineage alone, so that a run that is made from files
later has the same as the one that the training made.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.paths import Paths
from pipeline.tracking.provenance.uncommitted import is_complete, is_empty, make_patch
from pipeline.tracking.run import Run

DESCRIPTION = "mlflow.note.content"
"""Tag that MLflow's UI shows above a run, as Markdown."""

RECREATED = "recreated"
"""Tag of a run that was made from files."""

SOURCE = ("params.yaml", "dvc.yaml", "source.yaml")
"""Settings that are kept as artefacts, for somebody who has only the MLflow run."""

OBJECTIVES = {
    "bce": "Non-saturating GAN",
    "wgan_gp": "WGAN-GP",
    "hinge": "Hinge GAN",
    "lsgan": "LSGAN",
    "relativistic": "Relativistic GAN",
}
FAMILIES = {"antialiased": "antialiased DCGAN", "dcgan": "DCGAN"}


def describe_training(run: Run, lineage: Mapping[str, Any]) -> None:
    """Record a training's hyperparameters, digests, dataset and description."""
    decided = lineage["decided"]
    train = decided["train"] | {"images": decided["images"]}
    run.params({"model": decided["model"], "train": train, "cache": lineage["preprocess"]})
    run.tags({"code_digest": decided["code_digest"], "snapshot_digest": lineage["snapshot"]})
    describe(run, training_description(lineage), "cache_digest", decided["cache_digest"])
    size = lineage["preprocess"]["size"]
    run.dataset(
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


def log_source(run: Run, paths: Paths) -> None:
    """Record the settings as artefacts, and uncommitted changes as a patch with a tag."""
    for name in SOURCE:
        if (paths.root / name).is_file():
            run.artifact(paths.root / name, "source")
    if patch := make_patch(paths.root):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "uncommitted.patch"
            file.write_bytes(patch)
            run.artifact(file, "source")
        part = "nothing of it" if is_empty(patch) else "in part"
        run.tags({"git_patch": "whole" if is_complete(patch) else part})


def training_description(lineage: Mapping[str, Any]) -> str:
    """Description of a training in Markdown: a sentence, and source, licence and digests."""
    source, licences = lineage["source"], ", ".join(lineage["licences"])
    facts = {
        "data": source.get("source"),
        "licence": source.get("licence") or licences,
        "snapshot": lineage["snapshot"][:12],
        "cache": lineage["decided"]["cache_digest"][:12],
    }
    listed = ", ".join(f"{name} `{text}`" for name, text in facts.items() if text)
    return f"{training_sentence(lineage)}\n\n{listed}"


def describe(run: Run, text: str, tag: str, digest: str) -> None:
    """Describe a run, and name the search that finds its relatives by a digest."""
    same = f'Runs of the same data: `tags.{tag} = "{digest}"`'
    run.tags({tag: digest, DESCRIPTION: f"{text}\n\n{same}"})


def training_sentence(lineage: Mapping[str, Any]) -> str:
    """One sentence on a training: objective, dataset, networks, length."""
    decided = lineage["decided"]
    model, train = decided["model"], decided["train"]
    generator, discriminator = (
        f"{FAMILIES.get(each['family'], each['family'])} of width {each['width']}"
        for each in (model["generator"], model["discriminator"])
    )
    networks = f"generator {generator} against discriminator {discriminator}"
    if generator == discriminator:
        networks = f"generator and discriminator {generator}"
    source = lineage["source"].get("source")
    origin = f" from {name_source(source)}" if source else ""
    size = lineage["preprocess"]["size"]
    return (
        f"{OBJECTIVES.get(train['objective'], train['objective'])} on "
        f"{lineage['counts']['train']:,} avatars of {size} px{origin}: "
        f"{networks}, {decided['images']:,} images in batches of {train['batch_size']}, "
        f"seed {train['seed']}."
    )


def name_source(source: str) -> str:
    """Name of a source in a sentence."""
    return "the embedded gallery" if source == "embedded" else source
