"""Scratch repositories of the whole project: made small, run by DVC as a person would."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import pytest
import yaml
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run
from preprocess_inputs import ALL_PASS

from pipeline.crawl.data_folder import SKELETON

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
Process = subprocess.Popen[str]

SMALL: dict[str, Any] = {
    "preprocess": {"size": 32, "holdout": 0.3, "filters": ALL_PASS},
    "model": {"latent_size": 8, "generator": {"width": 4}, "discriminator": {"width": 4}},
    "train": {
        "images": 64,
        "batch_size": 16,
        "average": {"half_life": 100},
        "precision": "float32",
        "log_every": 16,
        "grid_every": 32,
        "snapshot_every": 32,
        "checkpoint_every": 32,
    },
    "features": {"extractors": ["lite0"]},
    "evaluate": {
        "num_fakes": 32,
        "selection_fakes": 32,
        "report_seeds": [2],
        "metrics": ["frechet_distance", "memorisation"],
        "allow_small": True,
    },
}
"""Values of params.yaml with which all stages together take half a minute."""

OFFLINE = {"DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "true", "AWS_EC2_METADATA_DISABLED": "true"}


class Checkout:
    """A repository, and the commands that a person types in it."""

    def __init__(self, root: Path, home: Path, **environment: str) -> None:
        """`home` is made if need be; the environment's own trackers and remotes don't count."""
        self.root = root
        home.mkdir(parents=True, exist_ok=True)
        others = ("MLFLOW", "DVC", "GIT", "AWS")
        keep = {key: value for key, value in os.environ.items() if not key.startswith(others)}
        self.environment = keep | OFFLINE | environment
        self.environment |= {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "OMP_NUM_THREADS": "1",
        }

    def start(self, *command: str, output: int | IO[str] = subprocess.PIPE) -> Process:
        """A process in a session of its own; both outputs go to one place."""
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str) -> str:
        """What a command prints; it has to succeed."""
        with tempfile.TemporaryFile("w+") as said:  # the queue's workers would keep a pipe open
            process = self.start(*command, output=said)
            try:
                process.wait(timeout=600)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            said.seek(0)
            out = said.read()
        assert process.returncode == 0, out
        return out

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments)

    def dvc(self, *arguments: str) -> str:
        return self.run("dvc", *arguments)

    def commit(self, message: str = "results") -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    def read(self, name: str) -> str:
        return (self.root / name).read_text(encoding="utf-8")

    def change(self, section: str, key: str, value: object) -> None:
        """Set a value of params.yaml."""
        values = yaml.safe_load(self.read("params.yaml"))
        values[section][key] = value
        text = yaml.safe_dump(values, sort_keys=False)
        (self.root / "params.yaml").write_text(text, encoding="utf-8")

    @property
    def client(self) -> MlflowClient:
        """MLflow's client of the repository's own store."""
        return MlflowClient(f"sqlite:///{self.root / 'mlflow.db'}")

    def rows(self) -> list[Run]:
        """MLflow's rows of trainings, newest first."""
        return trainings(self.client)

    def clone(self, root: Path, home: Path, **environment: str) -> "Checkout":
        """A colleague's clone: what is committed, and nothing else."""
        self.git("clone", "-q", str(self.root), str(root))
        return configured(Checkout(root, home, **environment))


def trainings(client: MlflowClient) -> list[Run]:
    """MLflow's rows of trainings, newest first."""
    found = client.get_experiment_by_name("avatars")
    return list(client.search_runs([found.experiment_id])) if found else []


def ran(out: str) -> list[str]:
    """Names of the stages that DVC says it ran."""
    return [line.split("'")[1] for line in out.splitlines() if line.startswith("Running stage")]


def configured(checkout: Checkout) -> Checkout:
    """Tell Git who commits."""
    checkout.git("config", "user.email", "someone@example.org")
    checkout.git("config", "user.name", "Someone")
    return checkout


def _merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    nested = {key: _merged(values[key], v) for key, v in changes.items() if isinstance(v, dict)}
    return values | changes | nested


def project_files() -> list[str]:
    """Files of the project as it stands here, that Git has or would take."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.check_output(listing, cwd=ROOT, text=True).split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def small_project(
    folder: Path, pictures: int = 40, changes: dict[str, Any] | None = None
) -> Checkout:
    """A repository in folder/repository with the project's code, made small; nothing is run.

    changes: more values of params.yaml.
    """
    checkout = Checkout(folder / "repository", folder / "home")
    for name in project_files():
        if not name.startswith(("reports/", "docs/", "tests/", "benchmarks/")):
            (checkout.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout.root / name)
    params = _merged(SMALL, changes or {})
    for name, values in {"params": params, "source": {"count": pictures, "size": 32}}.items():
        before = yaml.safe_load(checkout.read(f"{name}.yaml"))
        text = yaml.safe_dump(_merged(before, values), sort_keys=False)
        (checkout.root / f"{name}.yaml").write_text(text, encoding="utf-8")
    (checkout.root / "data.dvc").write_text(SKELETON)
    (checkout.root / "dvc.lock").unlink(missing_ok=True)
    checkout.git("init", "-q")
    configured(checkout).commit("the project")
    return checkout


def _build_project(folder: Path) -> None:
    """A small project after `dvc repro`, committed, and after one experiment, `wasserstein`.

    The workspace is put back: the experiment lives in DVC's refs and its run-cache.
    """
    checkout = small_project(folder)
    checkout.dvc("repro")
    checkout.commit()
    checkout.dvc("exp", "run", "-n", "wasserstein", "-S", "train.objective=wgan_gp")
    checkout.git("checkout", "-q", ".")
    checkout.git("clean", "-qfd")
    checkout.dvc("checkout", "-q", "--force")


def shared_project(factory: pytest.TempPathFactory, folder: Path) -> Checkout:
    """A copy in `folder` of the built project, which one process of a test run builds for all."""
    base = factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "built-project"
    place.mkdir(exist_ok=True)
    with FileLock(place / "lock"):
        if not (place / "whole").exists():
            _build_project(place)
            (place / "whole").touch()
    return copied(place / "repository", folder)


def copied(repository: Path, folder: Path, **environment: str) -> Checkout:
    """A copy of a repository with its DVC cache in folder/repository; tracked by `environment`."""
    shutil.copytree(repository, folder / "repository", symlinks=True)
    return Checkout(folder / "repository", folder / "home", **environment)


def as_json(checkout: Checkout, *command: str) -> Any:
    """What a command of DVC answers with --json."""
    return json.loads(checkout.dvc(*command, "--json"))
