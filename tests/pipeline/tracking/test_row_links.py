"""Rows that share data name each other, in a real store."""

import re
import shutil

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from pipeline.paths import Paths
from pipeline.tracking import rows as tracking
from pipeline.tracking.descriptions import DESCRIPTION
from pipeline.tracking.mlflow.row_links import link

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A store without runs: making one takes seconds, copying it none."""
    root = tmp_path_factory.mktemp("empty")
    assert tracking.find_run(Paths(root), "none", "none") is None
    return root / "mlflow.db"


@pytest.fixture
def client(tmp_path, empty_store):
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    return MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")


def row(client, experiment: str, name: str, when: int, **tags: str) -> str:
    known = client.get_experiment_by_name(experiment)
    place = known.experiment_id if known else client.create_experiment(experiment)
    return client.create_run(place, start_time=when, run_name=name, tags=tags).info.run_id


def stages(client, when: int = 1) -> dict[str, str]:
    """A row of each stage before the training: snapshot s, cache c."""
    digests = {"scrape": "snapshot", "preprocess": "cache", "reference": "cache"}
    return {
        stage: row(client, "avatars-stages", stage, when, stage=stage, **{f"{of}_digest": of[0]})
        for stage, of in digests.items()
    }


def training(client, name: str, when: int, experiment: str = "avatars", **tags: str) -> str:
    given = {"stage": "train", "run_key": name, "snapshot_digest": "s", "cache_digest": "c"}
    return row(client, experiment, name, when, **(given | {DESCRIPTION: f"It is {name}."} | tags))


def tags(client, row_id: str) -> dict[str, str]:
    return client.get_run(row_id).data.tags


def led_to(text: str) -> list[str]:
    """Ids of the rows that a description leads to."""
    return re.findall(r"\]\(#/experiments/\d+/runs/([0-9a-f]+)\)", text)


def test_a_training_and_the_newest_rows_of_its_data_name_each_other(client):
    stages(client, 1)
    newest = stages(client, 2)
    row(client, "avatars-stages", "other", 3, stage="preprocess", cache_digest="of others")
    one = training(client, "one", 4)
    link(client, one)
    told = tags(client, one)
    assert {stage: told[f"{stage}_run_id"] for stage in newest} == newest
    assert told[DESCRIPTION].startswith("It is one.\n\nCame from: ")
    assert led_to(told[DESCRIPTION]) == list(newest.values())
    for stage in newest.values():
        assert tags(client, stage)["trainings"] == one
        assert led_to(tags(client, stage)[DESCRIPTION]) == [one]


def test_to_link_again_changes_nothing_and_keeps_what_a_person_wrote(client):
    there = stages(client)
    one, two = training(client, "one", 4), training(client, "two [x](y)", 5)
    for each in (one, two, one, two):
        link(client, each)
    stage = tags(client, there["preprocess"])
    assert stage["trainings"] == f"{one},{two}"
    assert led_to(stage[DESCRIPTION]) == [one, two]
    client.set_tag(one, DESCRIPTION, tags(client, one)[DESCRIPTION] + "\n\nMy favourite.")
    link(client, one)
    text = tags(client, one)[DESCRIPTION]
    assert text.count("Came from: ") == 1
    assert "It is one." in text
    assert "My favourite." in text


def test_a_stage_that_comes_after_the_training_finds_it_also_under_another_name(client):
    one = training(client, "one", 4, experiment="sweep")
    link(client, one)
    assert "preprocess_run_id" not in tags(client, one)
    there = stages(client, 5)
    link(client, there["reference"])
    told = tags(client, one)
    assert {stage: told[f"{stage}_run_id"] for stage in there} == there
    assert tags(client, there["scrape"])["trainings"] == one


def test_rows_that_are_gone_are_left_out(client, monkeypatch):
    there = stages(client)
    gone, one = training(client, "gone", 3), training(client, "one", 4)
    link(client, gone)
    client.delete_run(gone)
    client.delete_run(there["scrape"])
    link(client, one)
    assert "scrape_run_id" not in tags(client, one)
    assert tags(client, there["preprocess"])["trainings"] == one
    search = client.search_runs

    def found_and_then_deleted(*arguments, **options):
        found = search(*arguments, **options)
        for each in found:
            if each.info.run_id == there["reference"]:
                client.delete_run(each.info.run_id)
        return found

    monkeypatch.setattr(client, "search_runs", found_and_then_deleted)
    link(client, training(client, "two", 5))
    assert len(tags(client, there["preprocess"])["trainings"].split(",")) == 2


def test_rows_of_somebody_else_stay_as_they_are_and_stop_nothing(client, monkeypatch):
    there = stages(client)
    write = client.log_batch

    def of_my_rows(run_id, **values):
        if run_id == there["preprocess"]:
            raise MlflowException("Permission denied", PERMISSION_DENIED)
        write(run_id, **values)

    monkeypatch.setattr(client, "log_batch", of_my_rows)
    one = training(client, "one", 4)
    link(client, one)
    assert {stage: tags(client, one)[f"{stage}_run_id"] for stage in there} == there
    assert "trainings" not in tags(client, there["preprocess"])
    assert tags(client, there["reference"])["trainings"] == one


def test_a_stage_names_its_twenty_newest_trainings(client):
    there = stages(client)
    made = [training(client, f"n{number}", 10 + number) for number in range(22)]
    for each in made:
        client.set_tag(each, "preprocess_run_id", there["preprocess"])
    link(client, made[-1])
    assert tags(client, there["preprocess"])["trainings"].split(",") == made[2:]


def test_a_store_without_stages_stays_as_it_is(client):
    one = training(client, "one", 4)
    before = tags(client, one)
    link(client, one)
    assert tags(client, one) == before
