"""A moved or copied repository: repaired on request, its runs find their files again."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image
from tracking_stores import apart, begin, execute, images

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.runs.find import Runs
from pipeline.tracking.mlflow.artifact_paths import COLUMNS, local_folder
from pipeline.tracking.mlflow.store import MlflowStore, repair_artifact_paths, tracking_uri
from pipeline.tracking.sync import sync

KEY = "a" * 64
ODD = "wörk a b%41"  # quoted in a URI, and again where it looks like one already


@pytest.fixture(scope="module")
def parked(tmp_path_factory):
    """A repository that was moved after a run with picture, file and model; and where it was."""
    old = tmp_path_factory.mktemp("old") / ODD
    old.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(old)  # MLflow's own default experiment takes it for its place
        fill(apart(old, patch))
    there = old.parent / "parked"
    old.rename(there)
    return there, old


def fill(paths: Paths) -> None:
    run = record(paths, KEY)
    assert run.unsent == 0
    client = MlflowClient(tracking_uri(paths))
    experiment = client.get_run(run.run_id).info.experiment_id
    model = client.create_logged_model(experiment, "generator", source_run_id=run.run_id)
    local_folder(model.artifact_location).mkdir(parents=True)
    client.create_registered_model("avatars")
    client.create_model_version("avatars", model.artifact_location, run.run_id)
    client.create_model_version("avatars", f"models:/{model.model_id}", run.run_id)


def record(paths: Paths, key: str):
    """A run with a picture and a file."""
    picture = paths.root / "grid.png"
    Image.new("RGB", (32, 32), "teal").save(picture)
    run = begin(paths, key)
    run.image("grid", picture, 100)
    run.artifact(picture, "reports")
    run.close()
    return run


@pytest.fixture
def moved(parked, tmp_path, monkeypatch):
    there, old = parked
    return apart(shutil.copytree(there, tmp_path / "new"), monkeypatch), old


def artifact_paths(paths: Paths) -> set[str]:
    """All paths and URIs of artefacts in the database."""
    with closing(sqlite3.connect(paths.root / "mlflow.db")) as connection:
        return {
            place
            for table, column in COLUMNS
            for (place,) in connection.execute(f"SELECT {column} FROM {table}")
        }


def misplaced(paths: Paths) -> str:
    return MlflowStore(tracking_uri(paths), paths.root).misplaced


@pytest.mark.slow
def test_a_moved_store_is_read_with_one_line_and_written_to_only_after_the_repair(
    moved, tmp_path, capsys
):
    paths, old = moved
    before = artifact_paths(paths)
    assert Runs(paths).find(KEY).name == "hinge 64px"
    (line,) = capsys.readouterr().err.splitlines()
    assert str(old / "mlartifacts") in line
    assert "gan doctor --repair" in line
    assert record(paths, "b" * 64).unsent > 0
    assert capsys.readouterr().err.count("gan doctor --repair") == 1
    with pytest.raises(GanError, match="gan doctor --repair"):
        MlflowStore(tracking_uri(paths), paths.root).require_place()
    assert artifact_paths(paths) == before
    assert repair_artifact_paths(paths) > 0
    sync.run(paths)
    assert misplaced(paths) == ""
    runs = Runs(paths)
    for key in (KEY, "b" * 64):
        run = runs.find(key)
        with Image.open(runs.download(run.run_id, "reports/grid.png", tmp_path)) as image:
            assert image.size == (32, 32)
        assert (paths.root / "mlartifacts" / run.run_id).is_dir()
    assert not old.exists()
    client = MlflowClient(tracking_uri(paths))
    assert len(images(paths, run.run_id)) == 1
    for version in "12":
        uri = client.get_model_version_download_uri("avatars", version)
        uri = client.get_logged_model(uri[8:]).artifact_location if uri[:8] == "models:/" else uri
        assert local_folder(uri).is_dir()
    home = (paths.root / "mlartifacts").as_uri()
    others = {place for place in artifact_paths(paths) if not place.startswith(home)}
    assert {place.partition("/m-")[0] for place in others} == {"models:", f"{old}/mlruns/0"}


@pytest.mark.slow
def test_all_paths_below_the_old_place_are_rewritten_or_none(moved):
    paths, old = moved
    kept = {
        "s3://bucket/mlartifacts",
        "mlartifacts",
        f"file://elsewhere{old}/mlartifacts",
        f"{(old / 'mlartifacts').as_uri()}?a=b",
        f"{old}/other/1",
        "file://[",
    }
    plain = str(old / "mlartifacts")
    insert = "INSERT INTO experiments VALUES (?, ?, ?, 'active', 0, 0, 'default')"
    for number, place in enumerate([*kept, plain]):
        execute(paths, insert, str(number + 10), f"e{number}", place)
    before = artifact_paths(paths)
    refuse = "BEGIN SELECT RAISE(ABORT, 'full'); END"
    execute(paths, f"CREATE TRIGGER t BEFORE UPDATE ON model_versions {refuse}")
    with pytest.raises(sqlite3.Error, match="full"):
        repair_artifact_paths(paths)
    assert artifact_paths(paths) == before
    execute(paths, "DROP TRIGGER t")
    repair_artifact_paths(paths)
    assert artifact_paths(paths) >= {*kept, str(paths.root / "mlartifacts")}
    assert plain not in artifact_paths(paths)


@pytest.mark.slow
def test_nothing_is_misplaced_while_the_old_path_leads_here_or_the_store_serves_several(
    moved, monkeypatch, tmp_path
):
    paths, old = moved
    old.symlink_to(paths.root)
    try:
        assert misplaced(paths) == ""
    finally:
        old.unlink()
    assert "gan doctor --repair" in misplaced(paths)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{paths.root}/mlflow.db")
    another = Paths(tmp_path / "another")
    assert misplaced(another) == ""
    repair_artifact_paths(another)
    assert not any(place.startswith(old.as_uri()) for place in artifact_paths(paths))


@pytest.mark.slow
def test_a_copy_is_repaired_but_for_runs_whose_files_only_the_original_has(moved, tmp_path):
    paths, _ = moved
    repair_artifact_paths(paths)
    copy = Paths(tmp_path / "copy")
    shutil.copytree(paths.root, copy.root)
    later = record(paths, "c" * 64).run_id
    shutil.copyfile(paths.root / "mlflow.db", copy.root / "mlflow.db")
    original = (paths.root / "mlflow.db").read_bytes()
    assert str(paths.root / "mlartifacts") in misplaced(copy)
    assert repair_artifact_paths(copy) > 0
    assert (paths.root / "mlflow.db").read_bytes() == original
    home, there = ((each.root / "mlartifacts").as_uri() for each in (copy, paths))
    kept = {place for place in artifact_paths(copy) if place.startswith(there)}
    assert kept == {f"{there}/{later}/artifacts"}
    assert home in artifact_paths(copy)
    assert misplaced(copy) == ""


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("file:///a%20b/%C3%B6/mlartifacts", "/a b/ö/mlartifacts"),
        ("file://localhost/a%2520b", "/a%20b"),
        ("/plain/a%20b", "/plain/a%20b"),
        ("", None),
        ("file:///a#b", None),
    ],
)
def test_a_uri_is_a_folder_or_none(uri, folder):
    assert local_folder(uri) == (Path(folder) if folder else None)


def test_a_database_of_something_else_is_left_alone(tmp_path):
    execute(Paths(tmp_path), "CREATE TABLE experiments (name)")
    assert repair_artifact_paths(Paths(tmp_path)) == 0
