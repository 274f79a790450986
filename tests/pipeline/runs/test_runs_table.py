"""`gan runs`: its trainings, their order, and the columns that fit into a terminal."""

import io
import json
import math
import shutil
from datetime import datetime

import pytest
from evaluated_runs import evaluate_run, one_protocol, refusal, write_run
from rich.console import Console
from tracking_stores import apart, client_of, copy_store, execute

from pipeline.paths import Paths
from pipeline.runs import table as runs_table
from pipeline.runs.columns import choose_columns
from pipeline.runs.find import Runs, UnknownRunError, digits_of_ids
from pipeline.runs.table import all_columns, metrics_to_show
from pipeline.tracking import open_run
from pipeline.tracking.mlflow import reader
from pipeline.tracking.mlflow.reader import StoredRun

NOW = int(datetime.now().timestamp() * 1000)
ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)


pytestmark = pytest.mark.usefixtures("paths")


@pytest.fixture(scope="module")
def store(tmp_path_factory, empty_store):
    """Three trainings, one of them twice, and a run of another stage; only read."""
    with pytest.MonkeyPatch.context() as patch:
        paths = apart(tmp_path_factory.mktemp("store"), patch)
        copy_store(empty_store, paths)
        ids = {
            "one": write_run(paths, ONE, one_protocol(fid_10k=(30.0, 1.0)), name="one"),
            "two": write_run(paths, TWO, one_protocol(fid_10k=(20.0, 0.5)), name="two"),
            "bare": write_run(paths, THREE, name="bare"),
        }
        shutil.rmtree(paths.root / "runs")
        patch.setenv("DVC_EXP_NAME", "lofty-cats")
        ids["again"] = write_run(paths, ONE, name="again", experiment="elsewhere")
        evaluate_run(paths, TWO, {"fid_10k": (math.nan, None, "x"), "is_10k": (2.0, None, "x")})
        with open_run.stage_run(paths, "preprocess"):
            pass
        gone = write_run(paths, "4" * 64, name="deleted")
        client_of(paths).delete_run(gone)
    return paths, ids


def list_runs(paths, capsys, by=None, limit=20, columns=(), as_json=False) -> str:
    runs_table.run(paths, by=by, limit=limit, columns=columns, as_json=as_json)
    return capsys.readouterr().out


# real stores


@pytest.mark.slow
def test_trainings_are_listed_newest_first_without_stages_and_deleted_ones(store, capsys):
    paths, ids = store
    text = list_runs(paths, capsys)
    head, *lines = text.splitlines()
    expected = "id name started status images G D fid_10k is_10k dvc exp"
    assert head.split() == expected.split()
    assert [line.split()[1] for line in lines[:4]] == ["again", "bare", "two", "one"]
    dash = "\N{EN DASH}"
    assert lines[3].split()[-5:] == ["100", dash, "1.000", "30.0", dash]
    assert lines[0].split()[-1] == "lofty-cats"
    assert f"{ids['again'][:8]} = {ids['one'][:8]}" in lines[4]
    for short, name in (line.split()[:2] for line in lines[:4]):
        assert Runs(paths).find_training(short).run_id == ids[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("by", "order"),
    [
        ("fid_10k", ["one", "two", "again", "bare"]),  # two's is NaN now
        ("deviation/fid_10k", ["two", "one", "again", "bare"]),
        ("is_10k", ["two", "again", "bare", "one"]),
        ("best_images_seen", ["two", "one", "again", "bare"]),
    ],
)
def test_a_metric_sorts_the_best_first_and_runs_without_it_last(store, capsys, by, order):
    for limit in (2, 20):
        runs = json.loads(list_runs(store[0], capsys, by=by, limit=limit, as_json=True))
        assert [run["name"] for run in runs] == order[:limit]


@pytest.mark.slow
def test_json_has_whole_ids_and_everything_recorded(store, capsys):
    paths, ids = store
    runs = {run["name"]: run for run in json.loads(list_runs(paths, capsys, as_json=True))}
    one, two = runs["one"], runs["two"]
    assert (one["run_id"], one["run_key"], one["status"]) == (ids["one"], ONE, "FINISHED")
    assert (one["experiment"], runs["again"]["experiment"]) == ("avatars", "elsewhere")
    assert one["images_seen"] == 100
    assert one["params"] == {"train.objective": "hinge"}
    assert one["metrics"]["fid_10k"] == 30.0
    assert two["metrics"]["fid_10k"] is None
    assert one["tags"]["cache_digest"] == "d" * 64
    assert datetime.fromisoformat(one["started"]).tzinfo is not None


@pytest.mark.slow
def test_metrics_parameters_and_tags_can_be_columns_and_unknown_ones_name_the_nearest(
    store, capsys
):
    paths, _ = store
    text = list_runs(paths, capsys, columns=["train.objective", "best_images_seen", "stage"])
    assert all(each in text for each in ("hinge", "36,000", "train"))
    text = refusal(lambda: list_runs(paths, capsys, columns=["train.objectiv"]))
    assert text.startswith("train.objectiv: ")
    assert "train.objective?" in text
    for by in ("", "a`b", 'say "x"', "metrics.fid_10k", "[b]", "train.objective", "fid_10"):
        text = refusal(lambda by=by: list_runs(paths, capsys, by=by))
        assert text.startswith(f"{by}: no training has such a metric")
    assert "did you mean fid_10k" in text


@pytest.mark.slow
def test_a_store_without_trainings_is_an_error(store, capsys, tmp_path):
    shutil.copyfile(store[0].root / "mlflow.db", tmp_path / "mlflow.db")
    execute(Paths(tmp_path), "UPDATE runs SET lifecycle_stage = 'deleted'")
    with pytest.raises(UnknownRunError):
        list_runs(Paths(tmp_path), capsys)


@pytest.mark.slow
@pytest.mark.parametrize("page", [1, 3])
def test_more_runs_than_a_page_are_listed_in_order(store, capsys, monkeypatch, page):
    monkeypatch.setattr(reader, "PAGE", page)
    for limit in (2, 3, 20):
        runs = json.loads(list_runs(store[0], capsys, limit=limit, as_json=True))
        assert [run["name"] for run in runs] == ["again", "bare", "two", "one"][:limit]


# the table


def make_run(number: int, name: str = "", status="FINISHED", tags=None, params=None, **metrics):
    """A run whose metrics were all logged at step 12,800."""
    metrics = {key.replace("__", "/"): value for key, value in metrics.items()}
    tags = {"run_key": f"{number:064x}"} | (tags or {})
    name = name or f"wgan_gp 64px w64 s{number}"
    steps = dict.fromkeys(metrics, 12800)
    return StoredRun(f"{number:032x}"[::-1], name, NOW, tags, params or {}, metrics, status, steps)


def render(runs, width=80, by=None, asked=()) -> list[str]:
    stream = io.StringIO()
    runs_table.show(runs, by, asked, Console(file=stream, width=width))
    return stream.getvalue().splitlines()


def test_a_usual_run_with_its_losses_and_first_metric_fits_into_80_columns():
    losses = {"loss__generator": 4.6513, "loss__discriminator": -0.25094}
    usual = [make_run(i, fd_lite0_5k=940.119, kd_lite0_5k=2.4, **losses) for i in range(1, 4)]
    head, names, *lines = render(usual)
    assert head.split() == ["fd_lite0_"]
    assert names.split() == ["id", "name", "started", "status", "images", "G", "D", "5k"]
    assert lines[0].split()[-4:] == ["12,800", "4.651", "\N{MINUS SIGN}0.2509", "940.1"]
    assert max(map(len, [head, names, *lines])) <= 80


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 140, 200])
def test_ids_and_values_are_never_cut_and_more_width_shows_no_less(width):
    keys = ["fid_10k", "fd_lite0_5k", "kid_10k", "precision_lite0_5k", "memorisation_p_lite0_5k"]
    runs = [
        make_run(i, status="RUNNING", loss__generator=1.0, **{key: 1234.5 for key in keys})
        for i in range(30)
    ]
    text = "\n".join(render(runs, width, asked=["memorisation_p_lite0_5k"]))
    assert "…" not in text
    for each in runs:
        assert each.run_id[:8] in text
    assert text.count("1,234") >= 30
    columns = all_columns(runs, None, [])
    fewer, more = (len(choose_columns(columns, w)) for w in (width, width + 10))
    assert fewer <= more
    wide = sum(each.width + 1 for each in choose_columns(columns, width)) - 1
    assert wide <= width or fewer == 2


def test_a_long_name_is_folded_and_no_name_is_markup():
    text = "\n".join(render([make_run(1, "[b]x[/b] " + "y" * 40)]))
    assert "[b]x[/b]" in text
    assert text.count("y") == 40


def test_metrics_of_most_runs_come_first_then_the_more_trusted():
    runs = [make_run(i, fd_lite0_5k=1.0, kd_lite0_5k=1.0, kd_se_lite0_5k=1.0) for i in range(4)]
    runs.append(make_run(9, fid_10k=1.0, fd_lite0_5k=1.0))
    assert metrics_to_show(runs) == ["fd_lite0_5k", "kd_lite0_5k", "fid_10k"]
    assert metrics_to_show(runs[4:]) == ["fid_10k", "fd_lite0_5k"]
    assert metrics_to_show([make_run(1, loss__generator=1.0)]) == []


@pytest.mark.parametrize(
    ("key", "direction", "words"),
    [
        ("fid_10k", "lower", "lower is better"),
        ("selection/fd_lite0_2048", "lower", "the smallest first"),
        ("loss/generator", "lower", "lower is better"),
        ("kid_se_10k", "lower", "the smallest first"),
        ("throughput/images_per_second", "higher", "the largest first"),
    ],
)
def test_a_note_names_the_order_of_the_metric(key, direction, words):
    assert runs_table.sort_direction(key) == direction
    assert render([make_run(1, **{key: 1.0})], by=key)[-1] == f"By {key}, {words}."


def test_a_column_of_several_protocols_has_a_note():
    runs = [make_run(i, fid_10k=i + 1.0, tags={"protocols": json.dumps({"fid_10k": p})})
            for i, p in enumerate(["a", "a", "b"])]  # fmt: skip
    assert "protocol" in render(runs)[-1]
    assert "fid_10k" in render(runs)[-1]
    assert "protocol" not in "".join(render(runs[:2]))
    damaged = make_run(5, fid_10k=1.0, tags={"protocols": "["})
    assert "protocol" not in "".join(render([*runs[:2], damaged]))


def test_ids_are_as_long_as_they_must_be_to_differ():
    alike = [StoredRun("abcdef0123" + end * 22, "n", 0, {}, {}, {}) for end in "ab"]
    assert digits_of_ids(alike) == 11
    assert digits_of_ids([alike[0], alike[0]]) == 8
