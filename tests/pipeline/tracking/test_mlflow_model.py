"""Generator as an MLflow model: logged once, loaded without this project, served."""

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
import requests
import torch
from lineages import EVALUATION, LINEAGE, SUBJECT
from mlflow.artifacts import download_artifacts
from PIL import Image
from tiny_trainings import ANTIALIASED
from tracking_stores import apart, client_of, copy_store, empty_database, free_port, until

from gan.checkpoints import Origin, describe_checkpoint, load_generator, save_checkpoint
from gan.errors import GanError
from gan.models.interfaces import build_generator, initialise
from gan.sampling import generate, seed_latents
from gan.training.ema import recalibrate
from pipeline.paths import Paths
from pipeline.pictures import generate as command
from pipeline.pictures.png_lineage import read_lineage
from pipeline.runs import register
from pipeline.tracking.descriptions import describe_training
from pipeline.tracking.mlflow.store import tracking_uri
from pipeline.tracking.model.card import log_model_with_card, model_card
from pipeline.tracking.model.loader import MOST_SEEDS, Avatars, parse_request
from pipeline.tracking.model.log_model import log_model
from pipeline.tracking.open_run import start_run
from pipeline.tracking.run_folder.push import RejectedError

KEY = SUBJECT["run_key"]
FID = "fd_lite0_24"


def write_checkpoint(file, make_params, seen=128, state=None, changes=None):
    params = make_params(changes)
    generator = build_generator(params.model, 32)
    initialise(generator, params.model.generator, torch.Generator().manual_seed(seen))
    model = params.model.model_dump()
    origin = Origin(model, 32, seen, KEY, "d" * 64, "hinge 32px w4 s1", LINEAGE)
    recalibrate(generator, [seed_latents(range(64), generator.latent_size)])
    save_checkpoint(file, origin, generator, state)
    return file


def result(file):
    """An evaluation of a checkpoint."""
    _, origin = load_generator(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    subject = describe_checkpoint(origin, sha256=sha256) | {"kind": "checkpoint"}
    return EVALUATION | {"subject": subject}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory, make_params):
    """A training's run in a store of its own, with the model that an evaluation logs."""
    with pytest.MonkeyPatch.context() as patch:
        paths = apart(tmp_path_factory.mktemp("tracked"), patch)
        copy_store(empty_database(tmp_path_factory), paths)
        file = write_checkpoint(paths.root / "128.pt", make_params)
        run = start_run(paths, name="n", run_key=KEY, folder=paths.root / "run")
        describe_training(run, LINEAGE)
        run.tags({"git_commit": "abc123"})
        run.metrics({FID: 12.5, "best_images_seen": 128}, 192)
        run.artifact(file, "best")
        log_model_with_card(run, file, result(file))
        run.close(timeout_s=200)
        assert run.unsent == 0
        yield SimpleNamespace(paths=paths, file=file, run_id=run.run_id)


@pytest.fixture
def store(tracked, monkeypatch):
    paths = apart(tracked.paths.root, monkeypatch)
    return client_of(paths)


def model_of(client, seen="128"):
    (found,) = client.search_logged_models(["1"], f"tags.images_seen = '{seen}'")
    return found


# requests


@pytest.mark.parametrize(
    ("given", "params", "message"),
    [
        ([-1], {}, "seed = '-1'"),
        (["seven"], {}, "seed = 'seven'"),
        ([True], {}, "seed = 'True'"),
        ([2**63], {}, "seed = '9223372036854775808'"),
        (range(MOST_SEEDS + 1), {}, "at most 10000"),
        ({"seeds": [1]}, {}, "column `seed` is missing"),
        ([1], {"truncation": float("nan")}, "truncation = 'nan'"),
        ({"seed": [1], "truncation": [-0.1]}, {}, "truncation = '-0.1'"),
        ({"seed": [1, 2], "truncation": [0.1]}, {}, "1 truncations for 2 seeds"),
        ([1], {"output": "jpeg"}, "output = 'jpeg'"),
    ],
)
def test_a_bad_request_is_one_line_that_names_the_value(given, params, message):
    with pytest.raises(ValueError, match=rf"^[^\n]*{re.escape(message)}[^\n]*$"):
        parse_request(given, params)


@pytest.mark.parametrize("changes", [{}, ANTIALIASED], ids=["dcgan", "antialiased"])
def test_pixels_and_files_are_those_of_gan_generate_whatever_else_is_asked_for(
    tmp_path, make_params, changes
):
    file = write_checkpoint(tmp_path / "128.pt", make_params, changes=changes)
    model = Avatars(file)
    together = model.predict({"seed": list(range(20)), "truncation": [1.0, 0.7] * 10})
    assert together.shape == (20, 32, 32, 3)
    assert together.dtype == np.uint8
    (alone,) = model.predict([7], {"truncation": 0.7})
    table = {"seed": [7, 7, 7], "truncation": [1.0, float("nan"), None]}
    for usual in model.predict(table, {"truncation": 0.7})[1:]:
        assert np.array_equal(alone, usual)
    assert np.array_equal(alone, together[7])
    generator, _ = load_generator(file)
    images = next(generate(generator, seed_latents([7], generator.latent_size), 0.7))
    assert np.array_equal(alone, images[0].permute(1, 2, 0).numpy())
    assert not np.array_equal(alone, model.predict([7])[0])
    (picture,) = command.run(file, "7", tmp_path / "out", grid=False, truncation=0.7)
    assert model.predict([7], {"truncation": 0.7, "output": "png"}) == [picture.read_bytes()]
    assert model.predict([]).shape == (0, 32, 32, 3)


# logged models


@pytest.mark.slow
def test_an_evaluated_checkpoint_is_a_model_of_its_run(store, tracked):
    model = model_of(store)
    assert str(model.status) == "READY"
    assert model.name == "hinge 32px w4 s1, 128 images"
    assert (model.source_run_id, model.tags["run_key"]) == (tracked.run_id, KEY)
    assert model.params["train.objective"] == "hinge"
    assert [(m.key, m.value, m.step) for m in model.metrics] == [(FID, 12.5, 192)]
    outputs = store.get_run(tracked.run_id).outputs.model_outputs
    assert model.model_id in [each.model_id for each in outputs]
    assert len(store.get_metric_history(tracked.run_id, FID)) == 1
    folder = Path(download_artifacts(model.artifact_location))
    signature = mlflow.models.Model.load(folder).signature
    columns = {each.name: (each.type.name, each.required) for each in signature.inputs}
    assert columns == {"seed": ("long", True), "truncation": ("double", False)}
    (images,) = signature.outputs.inputs
    assert (images.type, images.shape) == (np.dtype("uint8"), (-1, 32, 32, 3))
    params = {each.name: each.default for each in signature.params}
    assert params == {"truncation": 1.0, "output": "array"}
    assert (folder / "data" / "generator.pt").read_bytes() == tracked.file.read_bytes()
    lines = (folder / "requirements.txt").read_text().split()
    assert f"torch=={torch.__version__.split('+')[0]}" in lines
    assert all("==" in line and "+" not in line for line in lines)
    card = (folder / "README.md").read_text()
    assert "| Commit | `abc123` |" in card
    assert str(tracked.paths.root) not in card


@pytest.mark.slow
def test_the_same_checkpoint_makes_no_second_model_and_a_new_card_replaces_the_old(
    store, tracked, tmp_path, make_params, monkeypatch
):
    """Also from a thread, which leaves nothing of MLflow changed."""
    before, card = model_of(store), tmp_path / "card.md"
    full = write_checkpoint(tmp_path / "final.pt", make_params, state={"more": torch.zeros(3)})
    card.write_text(model_card(result(tracked.file)["subject"], None))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    state = (mlflow.get_tracking_uri(), mlflow.active_run(), dict(os.environ))
    threads = set(threading.enumerate())
    for file in (tracked.file, full):  # what only training needs makes no other generator
        thread = threading.Thread(target=log_model, args=(store, tracked.run_id, file, card))
        thread.start()
        thread.join()
    assert (mlflow.get_tracking_uri(), mlflow.active_run(), dict(os.environ)) == state
    assert all(each.daemon for each in {*threading.enumerate()} - threads)
    assert os.listdir() == []
    assert model_of(store).model_id == before.model_id
    outputs = [each.model_id for each in store.get_run(tracked.run_id).outputs.model_outputs]
    assert outputs.count(before.model_id) == 1
    text = Path(download_artifacts(f"{before.artifact_location}/README.md")).read_text()
    assert FID not in text
    card.write_text(model_card(result(tracked.file)["subject"], result(full)))
    log_model(store, tracked.run_id, tracked.file, card)
    assert len(model_of(store).metrics) == 1


@pytest.mark.slow
def test_an_interrupted_logging_is_finished_by_the_next_attempt_and_damage_refused_for_good(
    store, tracked, tmp_path, make_params, monkeypatch
):
    file, card = write_checkpoint(tmp_path / "64.pt", make_params, 64), tmp_path / "card.md"
    card.write_text("no front matter")
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "log_model_artifacts", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            log_model(store, tracked.run_id, file, card)
    assert str(model_of(store, "64").status) == "PENDING"
    log_model(store, tracked.run_id, file, card)
    assert str(model_of(store, "64").status) == "READY"
    store.delete_logged_model(model_of(store, "64").model_id)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(RejectedError):
        log_model(store, tracked.run_id, file, card)


# without this project

ALONE = """
import json, sys
import mlflow
try:
    import gan
except ImportError:
    model = mlflow.pyfunc.load_model(sys.argv[1])
import gan, pipeline
images = model.predict({"seed": [0, 1, 2], "truncation": [1.0, 0.5, 1.0]})
try:
    model.predict({"seed": [-1]})
except mlflow.exceptions.MlflowException as error:
    refused = str(error)
print(json.dumps([gan.__path__[0], pipeline.__path__[0], images.tolist(), refused]))
"""


def without_project() -> list[str]:
    """A Python that finds this environment's libraries, but not its editable installs.

    Without `site` no .pth file is read, and these are what leads to the project.
    """
    code = f"import sys; sys.path += [{sysconfig.get_path('purelib')!r}]; del sys.argv[0]; "
    return [sys.executable, "-I", "-S", "-c", code + "exec(open(sys.argv[0]).read())"]


def surroundings(folder: Path, **more: str) -> dict[str, str]:
    scripts = Path(sys.executable).parent
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "OMP_NUM_THREADS": "1", **more}


@pytest.mark.slow
def test_it_loads_in_an_empty_folder_with_no_code_but_its_own(store, tracked, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "alone.py").write_text(ALONE)
    place = download_artifacts(model_of(store).artifact_location)
    command = [*without_project(), str(tmp_path / "alone.py"), place]
    settings = {"env": surroundings(tmp_path), "cwd": tmp_path / "empty"}
    done = subprocess.run(command, capture_output=True, text=True, **settings)
    assert done.returncode == 0, done.stderr
    *code, images, error = json.loads(done.stdout.splitlines()[-1])
    assert code == [f"{place.rstrip('/')}/code/{name}" for name in ("gan", "pipeline")]
    here = Avatars(tracked.file).predict({"seed": [0, 1, 2], "truncation": [1.0, 0.5, 1.0]})
    assert np.array_equal(np.array(images, np.uint8), here)
    assert "seed = '-1'" in error


# registered and served


def test_names_that_mlflow_refuses_and_stores_that_cannot_register_cost_one_line(
    tmp_path, make_params, monkeypatch
):
    for name, alias, option in (("a/b", "", "--name"), ("a", "latest", "--alias")):
        with pytest.raises(GanError, match=option):
            register.run("latest", Paths(tmp_path), name=name, alias=alias)
    file = write_checkpoint(tmp_path / "128.pt", make_params)
    for uri in ("http://127.0.0.1:9", "file:///nowhere/mlruns"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(GanError, match=r"^[^\n]+$"):
            register.run(str(file), Paths(tmp_path), name="avatars")


def listens(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/ping", timeout=2).ok
    except requests.ConnectionError:
        return False


@pytest.mark.slow
def test_registering_twice_makes_one_version_and_the_alias_moves(
    store, tracked, tmp_path, make_params, checkpoint, capsys
):
    paths = tracked.paths
    paths.reports.mkdir(exist_ok=True)
    (paths.reports / "evaluation.json").write_text(json.dumps(result(tracked.file)))
    register.run(KEY[:12], paths, name="avatars", alias="champion")
    assert "models:/avatars@champion" in capsys.readouterr().out
    first = store.get_model_version_by_alias("avatars", "champion")
    assert first.source == model_of(store).artifact_location
    there = json.loads(model_of(store).tags["mlflow.modelVersions"])
    assert there[0] == {"name": "avatars", "version": 1}
    assert (first.run_id, first.tags["run_key"]) == (tracked.run_id, KEY)
    assert first.description.lstrip().startswith("# ")
    assert len(first.description) <= 5000
    register.run(str(tracked.file), paths, name="avatars", alias="second")
    other = write_checkpoint(tmp_path / "other.pt", make_params, 192)
    register.run(str(other), paths, name="avatars", alias="champion")
    version = store.get_model_version_by_alias("avatars", "champion")
    assert (int(version.version), version.tags["images_seen"]) == (2, "192")
    assert int(store.get_model_version_by_alias("avatars", "second").version) == 1
    assert len(store.search_model_versions("name = 'avatars'")) == 2
    register.run(str(checkpoint), paths, name="others")  # of no run that the store knows
    (version,) = store.search_model_versions("name = 'others'")
    assert store.get_run(version.run_id).data.tags["run_key"] == "k" * 64


@pytest.mark.slow
def test_mlflow_serves_arrays_and_png_files(store, tracked, tmp_path):
    register.run(str(tracked.file), tracked.paths, name="served", alias="now")
    port = free_port()
    command = ["mlflow", "models", "serve", "-m", "models:/served@now"]
    command += ["--env-manager", "local", "-p", str(port)]
    env = surroundings(tmp_path, MLFLOW_TRACKING_URI=tracking_uri(tracked.paths))
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=tmp_path, env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        until(lambda: server.poll() is not None or listens(port), 180)
        assert server.poll() is None, (tmp_path / "log").read_text()

        def predict(**body: object) -> requests.Response:
            return requests.post(f"http://127.0.0.1:{port}/invocations", json=body, timeout=60)

        asked = {"seed": [4, 5], "truncation": [1.0, 0.5]}
        here = Avatars(tracked.file).predict(asked)
        images = predict(inputs=asked).json()["predictions"]
        assert np.array_equal(np.array(images, np.uint8), here)
        split = predict(dataframe_split={"columns": ["seed"], "data": [[4]]})
        assert np.array_equal(np.array(split.json()["predictions"], np.uint8), here[:1])
        encoded = predict(inputs={"seed": [4]}, params={"output": "png"})
        (text,) = encoded.json()["predictions"]
        picture = tmp_path / "4.png"
        picture.write_bytes(base64.b64decode(text))
        assert np.array_equal(np.asarray(Image.open(picture)), here[0])
        about = read_lineage(picture)
        assert (about["seeds"], about["run_key"], about["lineage"]) == ("4", KEY, LINEAGE)
        refused = predict(inputs={"seed": [4]}, params={"output": "jpeg"})
        assert refused.status_code == 400
        assert "'array' or 'png'" in refused.json()["message"]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    until(lambda: not listens(port), 30)
