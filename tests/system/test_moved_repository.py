"""A moved or copied repository: its runs find their pictures, files and models again."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image

from pipeline.paths import Paths
from pipeline.runs.find import Runs
from pipeline.tracking.mlflow.artifact_paths import COLUMNS, inspect_roots, local_folder
from pipeline.tracking.mlflow.store import (
    MlflowStore,
    repair_artifact_paths,
    repair_if_moved,
    tracking_uri,
)
from pipeline.tracking.open_run import start_run

KEY = "a" * 64
ODD = "wörk a b%41"  # quoted in a URI, and again where it looks like one already


@pytest.fixture(autouse=True)
def default_store(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def parked(tmp_path_factory):
    """A repository that was moved after a run with picture, file and model; and where it was."""
    old = tmp_path_factory.mktemp("old") / ODD
    old.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT"):
            patch.delenv(name, raising=False)
        patch.chdir(old)  # MLflow's own default experiment takes it for its place
        fill(Paths(old))
    there = old.parent / "parked"
    old.rename(there)
    return there, old


def fill(paths: Paths) -> None:
    run = record(paths, KEY)
    client = client_of(paths)
    experiment = client.get_experiment_by_name("avatars").experiment_id
    model = client.create_logged_model(experiment, "generator", source_run_id=run)
    folder = local_folder(model.artifact_location)
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    client.create_registered_model("avatars")
    client.create_model_version("avatars", model.artifact_location, run)
    client.create_model_version("avatars", f"models:/{model.model_id}", run)


def record(paths: Paths, key: str) -> str:
    """A run with a picture and a file; returns its id."""
    picture = paths.root / "grid.png"
    Image.new("RGB", (32, 32), "teal").save(picture)
    run = start_run(
        paths, experiment="avatars", name="n", run_key=key, folder=paths.root / "runs" / key
    )
    run.image("grid", picture, 100)
    run.artifact(picture, "reports")
    run.close()
    assert run.unsent == 0
    return str(run.run_id)


def client_of(paths: Paths) -> MlflowClient:
    """A client on the store as every command opens it."""
    MlflowStore(tracking_uri(paths), paths.root)
    return MlflowClient(tracking_uri(paths))


@pytest.fixture
def moved(parked, tmp_path):
    shutil.copytree(parked[0], tmp_path / "new")
    return Paths(tmp_path / "new"), parked[1]


def artifact_paths(paths: Paths) -> set[str]:
    """All paths and URIs of artefacts in the database."""
    with closing(sqlite3.connect(paths.root / "mlflow.db")) as connection:
        return {
            place
            for table, column in COLUMNS
            for (place,) in connection.execute(f"SELECT {column} FROM {table}")
        }


def execute(paths: Paths, statement: str, *values: str) -> None:
    with closing(sqlite3.connect(paths.root / "mlflow.db")) as connection, connection:
        connection.execute(statement, values)


# moved


@pytest.mark.slow
def test_a_moved_repository_finds_its_pictures_files_and_models(moved, tmp_path, capsys):
    paths, old = moved
    runs = Runs(paths)
    run = runs.find_training(KEY)
    err = capsys.readouterr().err
    assert err.startswith(f"{paths.root}/mlflow.db: moved")
    assert len(err.splitlines()) == 1
    file = runs.download(run.run_id, "reports/grid.png", tmp_path)
    with Image.open(file) as image:
        assert image.size == (32, 32)
    client = client_of(paths)
    assert capsys.readouterr().err == ""
    pictures = [each.path for each in client.list_artifacts(run.run_id, "images")]
    assert sum(path.endswith(".png") for path in pictures) == 1
    for version in "12":
        uri = client.get_model_version_download_uri("avatars", version)
        uri = client.get_logged_model(uri[8:]).artifact_location if uri[:8] == "models:/" else uri
        assert (local_folder(uri) / "MLmodel").is_file()
    home = (paths.root / "mlartifacts").as_uri()
    others = {place for place in artifact_paths(paths) if not place.startswith(home)}
    assert {place.partition("/m-")[0] for place in others} == {"models:", f"{old}/mlruns/0"}


@pytest.mark.slow
def test_a_run_after_the_move_leaves_nothing_at_the_old_place(moved):
    paths, old = moved
    run_id = record(paths, "b" * 64)
    assert (paths.root / "mlartifacts" / run_id / "artifacts" / "reports" / "grid.png").is_file()
    assert not old.exists()


@pytest.mark.slow
def test_another_program_finds_the_files_of_a_repaired_store(moved, capsys):
    paths, _ = moved
    repair_if_moved(paths)
    assert "moved" in capsys.readouterr().err
    client = MlflowClient(tracking_uri(paths))
    experiment = client.get_experiment_by_name("avatars").experiment_id
    (run,) = client.search_runs([experiment])
    found = client.list_artifacts(run.info.run_id, "reports")
    assert [each.path for each in found] == ["reports/grid.png"]


@pytest.mark.slow
def test_paths_on_servers_and_malformed_ones_stay_as_they_are(moved):
    paths, old = moved
    kept = [
        "s3://bucket/mlartifacts",
        "mlflow-artifacts:/1",
        "mlartifacts",
        f"file://elsewhere{old}/mlartifacts",
        f"{(old / 'mlartifacts').as_uri()}?a=b",
        f"{old}/other/1",
        "file://[",
    ]
    for number, place in enumerate(kept):
        values = (str(number + 10), f"e{number}", place)
        execute(
            paths, "INSERT INTO experiments VALUES (?, ?, ?, 'active', 0, 0, 'default')", *values
        )
    plain = str(old / "mlartifacts")
    execute(paths, "INSERT INTO experiments VALUES (99, 'plain', ?, 'deleted', 0, 0, 'd')", plain)
    repair_if_moved(paths)
    assert artifact_paths(paths) >= {*kept, str(paths.root / "mlartifacts")}
    assert plain not in artifact_paths(paths)


@pytest.mark.slow
def test_nothing_changes_while_the_old_path_leads_here_or_no_files_are_here(moved, capsys):
    paths, old = moved
    before = artifact_paths(paths)
    old.symlink_to(paths.root)
    try:
        repair_if_moved(paths)
        assert artifact_paths(paths) == before
    finally:
        old.unlink()
    (paths.root / "mlartifacts").rename(paths.root / "put away")
    repair_if_moved(paths)
    assert artifact_paths(paths) == before
    assert capsys.readouterr().err == ""
    lost = inspect_roots(paths.root / "mlflow.db", paths.root)
    assert [local_folder(each) for each in lost.lost] == [old / "mlartifacts"]


@pytest.mark.slow
def test_all_paths_are_rewritten_or_none(moved, capsys):
    paths, _ = moved
    before = artifact_paths(paths)
    refuse = "BEGIN SELECT RAISE(ABORT, 'full'); END"
    execute(paths, f"CREATE TRIGGER t BEFORE UPDATE ON model_versions {refuse}")
    repair_if_moved(paths)
    assert artifact_paths(paths) == before
    err = capsys.readouterr().err
    assert err.startswith("warning: ")
    assert "full" in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "sqlite:///{root}/mlflow.db"])
def test_a_store_that_the_environment_names_is_repaired_if_its_files_are_beside_it(
    moved, monkeypatch, uri, tmp_path
):
    paths, old = moved
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(root=paths.root))
    repair_if_moved(paths if "{" not in uri else Paths(tmp_path / "another"))
    found = inspect_roots(paths.root / "mlflow.db", paths.root)
    assert (found.moved, found.lost) == ((), ())
    assert not any(place.startswith(old.as_uri()) for place in artifact_paths(paths))


# copied


@pytest.mark.slow
def test_a_copy_costs_a_warning_and_is_changed_only_on_request(moved, tmp_path, capsys):
    paths, _ = moved
    repair_if_moved(paths)
    copy = Paths(tmp_path / "copy")
    shutil.copytree(paths.root, copy.root)
    later = record(paths, "c" * 64)  # a run of the original only
    shutil.copyfile(paths.root / "mlflow.db", copy.root / "mlflow.db")
    original = (paths.root / "mlflow.db").read_bytes()
    before = artifact_paths(copy)
    capsys.readouterr()
    repair_if_moved(copy)
    err = capsys.readouterr().err
    assert err.startswith(f"warning: {copy.root}/mlflow.db is a copy: ")
    assert "gan doctor --repair" in err
    assert artifact_paths(copy) == before

    assert repair_artifact_paths(copy) > 0
    assert (paths.root / "mlflow.db").read_bytes() == original
    home, there = ((each.root / "mlartifacts").as_uri() for each in (copy, paths))
    kept = {place for place in artifact_paths(copy) if place.startswith(there)}
    assert kept == {f"{there}/{later}/artifacts"}
    assert home in artifact_paths(copy)


# what needs no store


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("file:///a%20b/%C3%B6/mlartifacts", "/a b/ö/mlartifacts"),
        ("file:///a%2520b", "/a%20b"),
        ("file://localhost/a", "/a"),
        ("/plain/a%20b", "/plain/a%20b"),
        ("file://host/a", None),
        ("s3://bucket/a", None),
        ("mlflow-artifacts:/1", None),
        ("relative", None),
        ("", None),
        ("file:///a#b", None),
    ],
)
def test_a_uri_is_a_folder_or_none(uri, folder):
    assert local_folder(uri) == (Path(folder) if folder else None)


def test_a_file_that_is_no_store_is_one_line(tmp_path, capsys):
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 1000)
    repair_if_moved(Paths(tmp_path))
    assert "file is not a database" in capsys.readouterr().err
    (tmp_path / "mlflow.db").unlink()
    repair_if_moved(Paths(tmp_path))
    assert capsys.readouterr().err == ""
    assert [each.name for each in tmp_path.iterdir()] == ["mlflow.db.lock"]


def test_a_database_of_something_else_is_left_alone(tmp_path):
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
        connection.execute("CREATE TABLE experiments (name)")
        connection.execute("INSERT INTO experiments VALUES ('file:///gone/mlartifacts')")
    before = (tmp_path / "mlflow.db").read_bytes()
    repair_if_moved(Paths(tmp_path))
    assert (tmp_path / "mlflow.db").read_bytes() == before
