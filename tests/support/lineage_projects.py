"""A small repository in which one training was tracked, with a setting that was not committed."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from dvc_checkouts import Checkout, small_project
from tracking_stores import apart, copy_store, read_runs

from gan.params.file import load_params
from pipeline.paths import Paths
from pipeline.pictures import generate
from pipeline.runs.lineage.trace import PATCH
from pipeline.runs.reproduce import reproduce
from pipeline.runs.reproduce.checkout import MARKER, ReproductionFolder
from pipeline.tracking import stage_runs
from pipeline.tracking.provenance.uncommitted import make_patch

SEED = 5
"""train.seed of the run; the commit has another one."""

SNAPSHOT = "5a" * 32


@dataclass(frozen=True)
class Project:
    """A repository, its training's MLflow run, and a picture of seed 7 by `gan generate`."""

    checkout: Checkout
    paths: Paths
    run_id: str
    run_key: str
    picture: Path

    @property
    def commit(self) -> str:
        return self.checkout.git("rev-parse", "HEAD").strip()

    @property
    def artifacts(self) -> Path:
        return self.paths.root / "mlartifacts" / self.run_id / "artifacts"


def fill_cache(root: Path, write_cache: Callable[..., Path]) -> None:
    """Write a tensor cache of noise whose metadata names the gallery of source.yaml."""
    images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    meta = write_cache(root / "cache", images, holdout=8) / "meta.json"
    source = yaml.safe_load((root / "source.yaml").read_text())
    more = {"snapshot": SNAPSHOT, "source": source, "licences": {"CC0-1.0": 40}}
    meta.write_text(json.dumps(json.loads(meta.read_text()) | more))


def set_seed(root: Path, seed: int) -> None:
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["train"]["seed"] = seed
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def reproduce_until_data(
    subject: str, paths: Paths, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start `gan reproduce`, kill it after the checkout and give it the tensor cache: noise, which
    no source could draw again."""

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ReproductionFolder, "run", kill)
        with pytest.raises(KeyboardInterrupt):
            reproduce.run(subject, paths, folder)
    shutil.copytree(paths.cache, folder / "cache")
    marker = json.loads((folder / MARKER).read_text())
    assert marker["done"] == ["checkout"]
    (folder / MARKER).write_text(json.dumps(marker | {"done": ["checkout", "data"]}))


def keep_patch(checkout: Checkout, run_id: str) -> None:
    """Log the uncommitted changes as the run's artefact, if it has none yet."""
    folder = str(Path(PATCH).parent)
    if not checkout.client.list_artifacts(run_id, folder):
        kept = checkout.root.parent / Path(PATCH).name
        kept.write_bytes(make_patch(checkout.root) or b"")
        checkout.client.log_artifact(run_id, str(kept), folder)


def train_project(folder: Path, write_cache: Callable[..., Path], store: Path) -> Project:
    """The project of this checkout with small settings, trained with another seed.

    store: an empty one to begin with.
    """
    checkout = small_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        paths = apart(checkout.root, patch)
        fill_cache(checkout.root, write_cache)
        copy_store(store, paths)
        set_seed(checkout.root, SEED)
        patch.chdir(checkout.root)
        stage_runs.train(load_params(Path("params.yaml")), paths)
        (run,) = read_runs(paths)
        (picture,) = generate.run(Path("models/final.pt"), "7", Path("avatars"), grid=False)
        run_id, run_key = run.info.run_id, run.data.tags["run_key"]
        keep_patch(checkout, run_id)
    return Project(checkout, paths, run_id, run_key, checkout.root / picture)
