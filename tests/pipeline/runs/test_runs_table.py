"""`gan runs`: which trainings it lists, in which order, and what fits into a terminal."""

import io
import json
import math
import shutil
import sqlite3
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from evaluated_runs import evaluate_row, numbers, write_row
from rich.console import Console

from gan.errors import GanError
from pipeline.paths import Paths
from pipeline.runs import table as runs_table
from pipeline.runs.columns import columns_of, fitting, measured
from pipeline.runs.find import Runs, digits_to_tell
from pipeline.tracking import rows as tracking
from pipeline.tracking.mlflow.reader import MlflowRows, StoredRun

NOW = int(datetime.now().timestamp() * 1000)
ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)


@pytest.fixture(autouse=True)
def default_store(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Three trainings, one of them twice, and a row of another stage; only read."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT", "DVC_EXP_NAME"):
            patch.delenv(name, raising=False)
        paths = Paths(tmp_path_factory.mktemp("written"))
        ids = {
            "one": write_row(paths, ONE, numbers(fid_10k=(30.0, 1.0)), name="one"),
            "two": write_row(paths, TWO, numbers(fid_10k=(20.0, 0.5)), name="two"),
            "bare": write_row(paths, THREE, name="bare"),
        }
        shutil.rmtree(paths.root / "spool")
        patch.setenv("DVC_EXP_NAME", "lofty-cats")
        ids["again"] = write_row(paths, ONE, name="again", experiment="elsewhere")
        evaluate_row(paths, TWO, {"fid_10k": (math.nan, None, "x"), "is_10k": (2.0, None, "x")})
        with tracking.stage_run(paths, "preprocess"):
            pass
        gone = write_row(paths, "4" * 64, name="deleted")
        MlflowRows(tracking.tracking_uri(paths), paths.root)._client.delete_run(gone)
    return paths, ids


def listed(paths, capsys, by=None, most=20, columns=(), as_json=False) -> str:
    runs_table.run(paths, by=by, most=most, columns=columns, as_json=as_json)
    return capsys.readouterr().out


def refused(work) -> str:
    with pytest.raises(GanError) as caught:
        work()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# real stores


@pytest.mark.slow
def test_trainings_are_listed_newest_first_without_stages_and_deleted_ones(written, capsys):
    paths, ids = written
    text = listed(paths, capsys)
    head, *lines = text.splitlines()
    expected = "id name started status images G D fid_10k is_10k dvc exp"
    assert head.split() == expected.split()
    assert [line.split()[1] for line in lines[:4]] == ["again", "bare", "two", "one"]
    dash = "\N{EN DASH}"
    assert lines[3].split()[-5:] == ["100", dash, "1", "30.0", dash]
    assert lines[0].split()[-1] == "lofty-cats"
    assert (
        lines[4]
        == f"The same training again (equal run keys): {ids['again'][:8]} = {ids['one'][:8]}."
    )


@pytest.mark.slow
def test_the_ids_are_taken_by_the_commands_that_ask_for_a_run(written, capsys):
    paths, ids = written
    for line in listed(paths, capsys).splitlines()[1:5]:
        short, name = line.split()[:2]
        assert Runs(paths).training(short).run_id == ids[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("by", "order"),
    [
        ("fid_10k", ["one", "two", "again", "bare"]),  # two's is NaN now: no number, but a point
        ("deviation/fid_10k", ["two", "one", "again", "bare"]),
        ("is_10k", ["two", "again", "bare", "one"]),
        ("best_images_seen", ["two", "one", "again", "bare"]),
    ],
)
def test_a_metric_sorts_the_best_first_and_rows_without_it_last(written, capsys, by, order):
    paths, _ = written
    rows = json.loads(listed(paths, capsys, by=by, as_json=True))
    assert [row["name"] for row in rows] == order
    two = json.loads(listed(paths, capsys, by=by, most=2, as_json=True))
    assert two == rows[:2]


@pytest.mark.slow
def test_json_has_whole_ids_and_everything_that_the_row_says(written, capsys):
    paths, ids = written
    rows = {row["name"]: row for row in json.loads(listed(paths, capsys, as_json=True))}
    one, two = rows["one"], rows["two"]
    assert (one["run_id"], one["run_key"], one["status"]) == (ids["one"], ONE, "FINISHED")
    assert (one["experiment"], rows["again"]["experiment"]) == ("avatars", "elsewhere")
    assert one["images_seen"] == 100
    assert one["params"] == {"train.objective": "hinge"}
    assert one["metrics"]["fid_10k"] == 30.0
    assert two["metrics"]["fid_10k"] is None
    assert one["tags"]["cache_digest"] == "d" * 64
    began = datetime.fromisoformat(one["started"])
    assert abs(began.timestamp() - time.time()) < 3600


@pytest.mark.slow
def test_metrics_parameters_and_tags_may_be_asked_for(written, capsys):
    paths, _ = written
    text = listed(paths, capsys, columns=["train.objective", "best_images_seen", "stage"])
    assert "hinge" in text
    assert "36,000" in text
    assert "train" in text
    assert "no training has such a metric or parameter; did you mean train.objective?" in refused(
        lambda: listed(paths, capsys, columns=["train.objectiv"])
    )


@pytest.mark.slow
@pytest.mark.parametrize("by", ["fid_10", "fid_20k"])
def test_an_unknown_metric_names_the_nearest(written, capsys, by):
    text = refused(lambda: listed(written[0], capsys, by=by))
    assert text.startswith(f"{by}: no training has such a metric; did you mean fid_10k")


@pytest.mark.slow
@pytest.mark.parametrize("by", ["", "a`b", 'say "x"', "metrics.fid_10k", "[b]", "train.objective"])
def test_what_is_no_metric_is_refused_whatever_it_is_written_with(written, capsys, by):
    assert "no training has such a metric" in refused(lambda: listed(written[0], capsys, by=by))


@pytest.mark.slow
def test_stores_without_trainings_or_answers_are_one_line(written, capsys, monkeypatch, tmp_path):
    paths = Paths(tmp_path)
    assert "mlflow.db: no runs recorded yet" in refused(lambda: listed(paths, capsys))
    assert not list(tmp_path.iterdir())
    shutil.copyfile(written[0].root / "mlflow.db", tmp_path / "mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE runs SET lifecycle_stage = 'deleted'")
    assert "mlflow.db: no runs recorded yet" in refused(lambda: listed(paths, capsys))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    text = refused(lambda: listed(paths, capsys))
    assert text == "http://127.0.0.1:9 can't be asked for runs: the server does not answer"


def multiply(database: Path, run_id: str, count: int) -> None:
    """Add copies of a row, by SQL: MLflow takes minutes to write so many."""
    later = NOW + 10**9
    points = [(f"loss/{who}", scale) for who, scale in (("generator", 7), ("discriminator", 3))]
    points += [(f"m{k}", 1) for k in range(30)]
    with closing(sqlite3.connect(database)) as connection, connection:
        for i in range(count):
            new = f"{i:032x}"
            columns = "run_uuid, name, status, start_time, lifecycle_stage, artifact_uri"
            same = "experiment_id, user_id, source_type, source_name"
            copied = f"INSERT INTO runs ({columns}, {same}) SELECT ?, 'n', 'FINISHED', ?, "
            copied += f"'active', '', {same} FROM runs WHERE run_uuid = ?"
            connection.execute(copied, (new, later + i, run_id))
            tags = [("run_key", f"{i:064x}", new), ("protocols", "{}", new)]
            connection.executemany(
                "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tags
            )
            many = [(f"p{k}", "1", new) for k in range(60)]
            into = "INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)"
            connection.executemany(into, many)
            into = "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)"
            values = [(key, i / scale, later, i, 0, new) for key, scale in points]
            connection.executemany(f"{into} VALUES (?, ?, ?, ?, ?, ?)", values)


@pytest.mark.slow
def test_five_hundred_rows_are_listed_within_seconds(written, tmp_path, capsys):
    paths, ids = Paths(tmp_path), written[1]
    shutil.copyfile(written[0].root / "mlflow.db", tmp_path / "mlflow.db")
    multiply(tmp_path / "mlflow.db", ids["one"], 540)
    began = time.process_time()
    rows = json.loads(listed(paths, capsys, most=530, as_json=True))
    assert time.process_time() - began < 6
    assert [row["images_seen"] for row in rows] == list(range(539, 9, -1))
    best = json.loads(listed(paths, capsys, by="loss/generator", most=501, as_json=True))
    assert [row["metrics"]["loss/generator"] for row in best] == [i / 7 for i in range(501)]


# the table


def row(number: int, name: str = "", status="FINISHED", tags=None, params=None, **metrics):
    """A row whose metrics were all logged at step 12,800."""
    found = {key.replace("__", "/"): value for key, value in metrics.items()}
    kept = {"run_key": f"{number:064x}"} | (tags or {})
    name = name or f"wgan_gp 64px w64 s{number}"
    steps = dict.fromkeys(found, 12800)
    return StoredRun(f"{number:032x}"[::-1], name, NOW, kept, params or {}, found, status, steps)


def shown(rows, width=80, by=None, asked=()) -> list[str]:
    stream = io.StringIO()
    runs_table.show(rows, by, asked, Console(file=stream, width=width))
    return stream.getvalue().splitlines()


def test_a_usual_row_with_its_losses_and_first_metric_fits_into_80_columns():
    losses = {"loss__generator": 4.6513, "loss__discriminator": -0.25094}
    usual = [row(i, fd_lite0_5k=940.119, kd_lite0_5k=2.4, **losses) for i in range(1, 4)]
    head, names, *lines = shown(usual)
    assert head.split() == ["fd_lite0_"]
    assert names.split() == ["id", "name", "started", "status", "images", "G", "D", "5k"]
    assert lines[0].split()[-4:] == ["12.8k", "4.65", "\N{MINUS SIGN}0.251", "940.1"]
    assert max(map(len, [head, names, *lines])) <= 80


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 140, 200])
def test_ids_and_values_are_never_cut_and_more_width_shows_no_less(width):
    keys = ["fid_10k", "fd_lite0_5k", "kid_10k", "precision_lite0_5k", "memorisation_p_lite0_5k"]
    rows = [
        row(i, status="RUNNING", loss__generator=1.0, **{key: 1234.5 for key in keys})
        for i in range(30)
    ]
    text = "\n".join(shown(rows, width, asked=["memorisation_p_lite0_5k"]))
    assert "…" not in text
    for each in rows:
        assert each.run_id[:8] in text
    assert text.count("1,234") >= 30
    columns = columns_of(rows, None, [])
    fewer, more = (len(fitting(columns, w)) for w in (width, width + 10))
    assert fewer <= more
    wide = sum(each.width + 1 for each in fitting(columns, width)) - 1
    assert wide <= width or fewer == 2


def test_a_long_name_goes_on_below_and_no_name_is_markup():
    text = "\n".join(shown([row(1, "[b]x[/b] " + "y" * 40)]))
    assert "[b]x[/b]" in text
    assert text.count("y") == 40


def test_metrics_of_most_rows_come_first_then_the_trusted():
    rows = [row(i, fd_lite0_5k=1.0, kd_lite0_5k=1.0, kd_se_lite0_5k=1.0) for i in range(4)]
    rows.append(row(9, fid_10k=1.0, fd_lite0_5k=1.0))
    assert measured(rows) == ["fd_lite0_5k", "kd_lite0_5k", "fid_10k"]
    assert measured(rows[4:]) == ["fid_10k", "fd_lite0_5k"]
    assert measured([row(1, loss__generator=1.0)]) == []


@pytest.mark.parametrize(
    ("key", "end", "words"),
    [
        ("fid_10k", "lower", "lower is better"),
        ("selection/fd_lite0_2048", "lower", "the smallest first"),
        ("checkpoint/is_10k", "higher", "the largest first"),
        ("loss/generator", "lower", "lower is better"),
        ("recall_lite0_5k", "higher", "higher is better"),
        ("kid_se_10k", "lower", "the smallest first"),
        ("throughput/images_per_second", "higher", "the largest first"),
    ],
)
def test_the_order_of_a_metric_is_said(key, end, words):
    assert runs_table.direction(key) == end
    assert shown([row(1, **{key: 1.0})], by=key)[-1] == f"By {key}, {words}."


def test_numbers_of_several_protocols_in_a_column_are_told():
    rows = [row(i, fid_10k=i + 1.0, tags={"protocols": json.dumps({"fid_10k": p})})
            for i, p in enumerate(["a", "a", "b"])]  # fmt: skip
    assert shown(rows)[-1] == "By more than one protocol, see `gan compare`: fid_10k."
    assert "protocol" not in "".join(shown(rows[:2]))
    damaged = row(5, fid_10k=1.0, tags={"protocols": "["})
    assert "protocol" not in "".join(shown([*rows[:2], damaged]))


def test_ids_grow_until_they_differ():
    alike = [StoredRun("abcdef0123" + end * 22, "n", 0, {}, {}, {}) for end in "ab"]
    assert digits_to_tell(alike) == 11
    assert digits_to_tell([alike[0], alike[0]]) == 8
