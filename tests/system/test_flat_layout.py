"""`gan lineage --check` and `gan reproduce` of a run of the last commit before the rooms."""

import json
import subprocess

import pytest
import yaml
from dvc_checkouts import ROOT, Checkout, configured
from lineage_projects import fill_cache, reproduce_until_data
from tracking_stores import apart, copy_store, empty_database

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.runs.lineage import show as lineage_command
from pipeline.runs.other_checkout import BEFORE_ROOMS, code_digest_in, identity_in
from pipeline.runs.reproduce import reproduce

pytestmark = pytest.mark.slow

TRAIN = {
    "images": 32,
    "precision": "float32",
    "log_every": 16,
    "grid_every": 32,
    "snapshot_every": 32,
    "checkpoint_every": 32,
}
"""Values of that commit's params.yaml, whose names are not those of today's."""


def git(*arguments):
    return subprocess.check_output(["git", *arguments], cwd=ROOT)


@pytest.fixture(scope="module")
def flat(tmp_path_factory, write_cache):
    """A repository with the files of that commit, made small, after a training by its own code,
    which its own store tracked."""
    folder = tmp_path_factory.mktemp("flat")
    checkout = Checkout(folder / "repository", folder / "home")
    checkout.root.mkdir()
    moved = git("log", "-1", "--format=%H", "--diff-filter=D", "--", BEFORE_ROOMS[0]).decode()
    assert moved, "needs the history of this repository: `git fetch --unshallow`, or a whole clone"
    packed = git("archive", f"{moved.strip()}^")
    subprocess.run(["tar", "-xf", "-"], cwd=checkout.root, input=packed, check=True)
    params = yaml.safe_load(checkout.read("params.yaml"))
    for network in ("generator", "discriminator"):
        params["model"][network]["width"] = 4
    params["preprocess"]["size"] = 32
    params["train"] |= TRAIN
    (checkout.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    checkout.git("init", "-q")
    configured(checkout).commit("the project")
    fill_cache(checkout.root, write_cache)
    copy_store(empty_database(tmp_path_factory), Paths(checkout.root))
    gan = ("python", "-m", "pipeline.cli")
    checkout.run(*gan, "train")
    checkout.run(*gan, "generate", "--ckpt", "models/final.pt", "--seeds", "7", "--out", "avatars")
    return checkout


@pytest.fixture
def here(flat, monkeypatch):
    monkeypatch.chdir(flat.root)
    return apart(flat.root, monkeypatch)


def test_lineage_finds_everything_that_the_run_was_made_of(here, capsys):
    lineage_command.run("avatars/000007.png", here, check=True, as_json=True)
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert "code" in {each["name"] for each in checks}
    assert all(each["there"] for each in checks)


def test_a_reproduction_is_equal(flat, here, tmp_path, monkeypatch, capfd):
    folder = tmp_path / "again"
    reproduce_until_data("avatars/000007.png", here, folder, monkeypatch)
    reproduce.run("avatars/000007.png", here, folder)
    lines = [
        line for line in capfd.readouterr().out.splitlines() if line[:5] in ("equal", "DIFFE")
    ]
    assert len(lines) > 6
    assert not [line for line in lines if line.startswith("DIFFERS")]
    assert "its pixels" in lines[-1]
    for name in ("models/final.pt", "models/snapshots/000000000032.pt"):
        assert (folder / name).read_bytes() == (flat.root / name).read_bytes()


def test_questions_that_its_code_cannot_answer_are_errors(tmp_path):
    for name in BEFORE_ROOMS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for ask in (code_digest_in, identity_in):
        with pytest.raises(GanError, match=str(tmp_path)):
            ask(tmp_path)
