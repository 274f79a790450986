"""Links between runs that share data, in a real store."""

import re

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from tracking_stores import client_of

from pipeline.tracking.descriptions import DESCRIPTION
from pipeline.tracking.mlflow.run_links import link_stages

pytestmark = pytest.mark.slow


@pytest.fixture
def client(stored):
    return client_of(stored)


def create_run(client, experiment: str, name: str, when: int, **tags: str) -> str:
    known = client.get_experiment_by_name(experiment)
    place = known.experiment_id if known else client.create_experiment(experiment)
    return client.create_run(place, start_time=when, run_name=name, tags=tags).info.run_id


def stages(client, when: int = 1) -> dict[str, str]:
    """A run of each stage before the training: snapshot s, cache c."""
    digests = {"scrape": "snapshot", "preprocess": "cache", "reference": "cache"}
    return {
        stage: create_run(
            client, "avatars-stages", stage, when, stage=stage, **{f"{data}_digest": data[0]}
        )
        for stage, data in digests.items()
    }


def training(client, name: str, when: int, experiment: str = "avatars", **tags: str) -> str:
    given = {"stage": "train", "run_key": name, "snapshot_digest": "s", "cache_digest": "c"}
    return create_run(
        client, experiment, name, when, **(given | {DESCRIPTION: f"It is {name}."} | tags)
    )


def tags(client, run_id: str) -> dict[str, str]:
    return client.get_run(run_id).data.tags


def linked_ids(text: str) -> list[str]:
    """Ids of the runs that a description links to."""
    return re.findall(r"\]\(#/experiments/\d+/runs/([0-9a-f]+)\)", text)


def test_a_training_and_the_newest_runs_of_its_data_are_linked(client):
    stages(client, 1)
    newest = stages(client, 2)
    create_run(client, "avatars-stages", "other", 3, stage="preprocess", cache_digest="of others")
    one = training(client, "one", 4)
    link_stages(client, one)
    tagged = tags(client, one)
    assert {stage: tagged[f"{stage}_run_id"] for stage in newest} == newest
    assert tagged[DESCRIPTION].startswith("It is one.\n\nCame from: ")
    assert linked_ids(tagged[DESCRIPTION]) == list(newest.values())
    for stage in newest.values():
        assert tags(client, stage)["trainings"] == one
        assert linked_ids(tags(client, stage)[DESCRIPTION]) == [one]


def test_linking_again_changes_nothing_and_keeps_text_that_a_person_wrote(client):
    there = stages(client)
    one, two = training(client, "one", 4), training(client, "two [x](y)", 5)
    for each in (one, two, one, two):
        link_stages(client, each)
    stage = tags(client, there["preprocess"])
    assert stage["trainings"] == f"{one},{two}"
    assert linked_ids(stage[DESCRIPTION]) == [one, two]
    client.set_tag(one, DESCRIPTION, tags(client, one)[DESCRIPTION] + "\n\nMy favourite.")
    link_stages(client, one)
    text = tags(client, one)[DESCRIPTION]
    assert text.count("Came from: ") == 1
    assert "It is one." in text
    assert "My favourite." in text


def test_a_stage_that_comes_after_the_training_finds_it_also_under_another_name(client):
    one = training(client, "one", 4, experiment="sweep")
    link_stages(client, one)
    assert "preprocess_run_id" not in tags(client, one)
    there = stages(client, 5)
    link_stages(client, there["reference"])
    tagged = tags(client, one)
    assert {stage: tagged[f"{stage}_run_id"] for stage in there} == there
    assert tags(client, there["scrape"])["trainings"] == one


def test_deleted_runs_are_left_out(client, monkeypatch):
    there = stages(client)
    gone, one = training(client, "gone", 3), training(client, "one", 4)
    link_stages(client, gone)
    client.delete_run(gone)
    client.delete_run(there["scrape"])
    link_stages(client, one)
    assert "scrape_run_id" not in tags(client, one)
    assert tags(client, there["preprocess"])["trainings"] == one
    search = client.search_runs

    def search_then_delete(*arguments, **options):
        found = search(*arguments, **options)
        for each in found:
            if each.info.run_id == there["reference"]:
                client.delete_run(each.info.run_id)
        return found

    monkeypatch.setattr(client, "search_runs", search_then_delete)
    link_stages(client, training(client, "two", 5))
    assert len(tags(client, there["preprocess"])["trainings"].split(",")) == 2


def test_runs_of_another_user_stay_as_they_are_and_stop_nothing(client, monkeypatch):
    there = stages(client)
    write = client.log_batch

    def deny_one(run_id, **values):
        if run_id == there["preprocess"]:
            raise MlflowException("Permission denied", PERMISSION_DENIED)
        write(run_id, **values)

    monkeypatch.setattr(client, "log_batch", deny_one)
    one = training(client, "one", 4)
    link_stages(client, one)
    assert {stage: tags(client, one)[f"{stage}_run_id"] for stage in there} == there
    assert "trainings" not in tags(client, there["preprocess"])
    assert tags(client, there["reference"])["trainings"] == one


def test_a_stage_names_its_twenty_newest_trainings(client):
    there = stages(client)
    made = [training(client, f"n{number}", 10 + number) for number in range(22)]
    for each in made:
        client.set_tag(each, "preprocess_run_id", there["preprocess"])
    link_stages(client, made[-1])
    assert tags(client, there["preprocess"])["trainings"].split(",") == made[2:]


def test_a_store_without_stages_stays_as_it_is(client):
    one = training(client, "one", 4)
    before = tags(client, one)
    link_stages(client, one)
    assert tags(client, one) == before
