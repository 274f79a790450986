"""Files of the flat layout in today's commands: checkpoints, pictures, data, caches, runs."""

import json
import sys

import pytest
from corner_features import FILE, save_corners
from earlier_forms import (
    GENERATOR,
    RUN_KEY,
    digest_of,
    draw_images,
    identity_of,
    lineage_of,
    training_state,
    write_avatar,
    write_cache,
    write_checkpoint,
    write_evaluation,
    write_progress,
    write_run,
    write_stage_records,
    write_training_records,
)
from PIL import Image
from tracking_stores import (
    apart,
    artifacts,
    copy_store,
    empty_database,
    history,
    images,
    read_runs,
)

from gan.checkpoints import load_checkpoint, load_generator
from gan.devices import choose_compute
from gan.training.state import build_state
from pipeline.cli.main import main
from pipeline.housekeeping.doctor import check_records
from pipeline.pictures.png_lineage import read_lineage
from pipeline.stages import train as train_stage
from pipeline.training.tracker import Tracker

EARLIER = {
    "preprocess.holdout": 0.25,
    "model.generator.family": "dcgan",
    "model.generator.width": 4,
    "model.generator.self_modulation": False,
    "model.discriminator.family": "dcgan",
    "train.objective": "bce",
    "train.images": 16,
    "train.recipes.bce.generator.learning_rate": 0.0004,
    "train.recipes.bce.discriminator.learning_rate": 0.0004,
    "evaluate.num_fakes": 8,
    "evaluate.report_seeds": [2],
    "evaluate.allow_small": True,
    "evaluate.metrics": ["frechet_distance"],
    "features.extractors": [FILE],
}


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """An empty project in the current folder, whose store is its own mlflow.db."""
    monkeypatch.chdir(tmp_path)
    return apart(tmp_path, monkeypatch)


@pytest.fixture
def store(paths, tmp_path_factory):
    """An empty store in `paths`."""
    copy_store(empty_database(tmp_path_factory), paths)


@pytest.fixture
def gan(monkeypatch, capsys):
    """gan("cache verify cache"): stdout and stderr of the command, which must succeed."""

    def run(line):
        monkeypatch.setattr(sys, "argv", ["gan", *line.split()])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        assert stop.value.code == 0, err
        return out, err

    return run


# checkpoints


def without_means(state):
    """Digest of a state without the means of first layers, which came with format 4."""

    def strip(part):
        kept = {name: each for name, each in part.items() if name != "project_mean"}
        return {
            name: strip(each) if isinstance(each, dict) else each for name, each in kept.items()
        }

    return digest_of(strip(state))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("training", [False, True])
def test_a_checkpoint_makes_avatars_and_tells_its_lineage(paths, gan, version, training):
    weights = write_checkpoint(paths.root / "old.pt", version, training=training)
    gan("generate --ckpt old.pt --seeds 7 --out avatars")
    gan("generate --ckpt old.pt --seeds 7-9 --truncation 0 --out mean")
    assert len({Image.open(each).tobytes() for each in (paths.root / "mean").iterdir()}) == 1
    generator, origin = load_generator(paths.root / "old.pt")
    assert without_means(generator.state_dict()) == digest_of(weights)
    assert origin.run_key == RUN_KEY
    told = read_lineage(paths.root / "avatars" / "000007.png")
    assert told["lineage"] == (lineage_of(origin.cache_digest) if version == 3 else {})
    assert (told["run_key"], told["images_seen"]) == (RUN_KEY, 192)
    lineage = gan("lineage old.pt --json")[0]
    assert RUN_KEY in lineage
    assert (lineage_of("d3" * 32)["source"]["source"] in lineage) == (version == 3)


def test_a_training_checkpoint_restores_the_whole_state(tmp_path, make_params):
    weights = write_checkpoint(tmp_path / "state.pt", training=True)
    params = make_params(EARLIER)
    state = build_state(params.model, 32, params.train, choose_compute("cpu", "float32"))
    state.load_state_dict(load_checkpoint(tmp_path / "state.pt")["state"])
    assert without_means(state.state_dict()) == digest_of(training_state(weights))
    assert float(state.augment_strength) == 0.25
    assert int(state.first_nonfinite_step) == -1
    assert state.metric_sums["loss/generator"] == 1.5
    assert state.metric_counts == {"loss/generator": 2, "gradient_norm/generator": 2}
    assert state.learning_rate_scale == 0.5


def test_a_picture_tells_its_lineage_and_evaluations_compare(paths, gan):
    write_avatar(paths.root / "old.png")
    lineage = json.dumps(json.loads(gan("lineage old.png --json")[0]))
    about = lineage_of("d3" * 32)
    for value in (RUN_KEY, about["snapshot"], about["decided"]["code_digest"], "d3" * 32):
        assert value in lineage
    write_evaluation(paths.root / "a", 1004.0, 64)
    write_evaluation(paths.root / "b", 900.0, 192)
    out, _ = gan("compare a/evaluation.json b --json")
    for value in ("fd_lite0_64_small6", "900.0", "1004.0"):
        assert value in out


# data/ and cache/


def test_a_cache_is_intact_and_shown(paths, gan):
    digest = write_cache(paths.cache, draw_images(8), holdout=2)
    gan("cache verify cache")
    assert json.loads(gan("cache info cache --json")[0])["digest"] == digest
    gan("cache show cache --out sheet.png --by sharpness")
    assert (paths.root / "sheet.png").is_file()


def test_a_training_of_other_code_starts_afresh_and_one_begins_with_a_checkpoint(
    paths, make_params, capsys
):
    digest = write_cache(paths.cache, draw_images(24), holdout=4)
    folder = write_progress(paths.progress, identity_of(digest))
    before = (folder / "state-000000000032.pt").read_bytes()
    train_stage.run(make_params(EARLIER), paths, Tracker())
    (line,) = [text for text in capsys.readouterr().err.splitlines() if "code_digest" in text]
    assert identity_of(digest)["code_digest"][:12] in line
    assert load_checkpoint(paths.models / "final.pt")["origin"]["images_seen"] == 16
    assert (folder / "state-000000000032.pt").read_bytes() == before

    write_checkpoint(paths.root / "old.pt", 2, training=True)
    train_stage.run(make_params(EARLIER | {"train.init_from": "old.pt"}), paths, Tracker())
    content, earlier = (
        load_checkpoint(each) for each in (paths.models / "final.pt", paths.root / "old.pt")
    )
    assert content["origin"]["cache_digest"] == digest
    assert set(content["averaged"]) == {"project_mean", *GENERATOR}
    assert list(content) == list(earlier)
    assert list(content["state"]) == list(earlier["state"])


# records and runs


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_unsent_records_are_listed_and_sent(paths, gan):
    progress = write_progress(paths.progress, identity_of("d3" * 32))
    number = write_training_records(progress / "tracking" / RUN_KEY[:16])
    stage = paths.root / "logs" / "spool" / "preprocess-aa4685785632"
    more = write_stage_records(stage)
    out, _ = gan("clean")
    assert out.startswith(f"{progress.name}  bce s1  32 images, unfinished")
    assert f"{number} records unsent" in out
    assert f"{stage.name}  preprocess 32px, {more} records unsent" in out
    assert str(number + more) in next(check_records(paths)).text
    gan("sync")
    (run,) = read_runs(paths)
    assert (run.info.run_name, run.info.status) == ("bce 32px w4 s1", "FINISHED")
    assert run.data.tags["run_key"] == RUN_KEY
    assert run.data.params["train.objective"] == "bce"
    assert history(paths, run.info.run_id, "loss/generator") == [(32, 0.75), (64, 0.5)]
    assert len(images(paths, run.info.run_id)) == 1
    assert artifacts(paths, run.info.run_id, "checkpoints") == ["checkpoints/000000000064.pt"]
    (preprocessed,) = read_runs(paths, "avatars-stages")
    assert preprocessed.info.status == "KILLED"
    assert preprocessed.data.metrics["images/train"] == 6
    assert not stage.exists()
    assert "unsent" not in gan("clean")[0]
    assert next(check_records(paths)).level == "ok"


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_a_recorded_run_is_listed_and_evaluated(paths, gan, write_params):
    digest = write_cache(paths.cache, draw_images(24), holdout=8)
    snapshot = paths.root / "kept" / "000000000064.pt"
    write_checkpoint(snapshot, images_seen=64, cache_digest=digest)
    run_id = write_run(f"sqlite:///{paths.root}/mlflow.db", paths.root / "mlartifacts", snapshot)
    (listed,) = json.loads(gan("runs --json")[0])
    assert run_id in json.dumps(listed)
    assert "1004" in json.dumps(listed)
    write_params(paths.root / "params.yaml", EARLIER)
    save_corners(paths.weights)
    gan(f"evaluate --run {run_id[:8]} --out judged")
    result = json.loads((paths.root / "judged" / "evaluation.json").read_text())
    assert (result["subject"]["run_key"], result["subject"]["images_seen"]) == (RUN_KEY, 64)
