"""Runs of the stages as tags of a training, in a real store."""

import pytest
from tracking_stores import client_of

from pipeline.tracking.mlflow.run_links import link_stages

pytestmark = pytest.mark.slow


@pytest.fixture
def client(stored):
    return client_of(stored)


def create_run(client, experiment: str, when: int, **tags: str) -> str:
    known = client.get_experiment_by_name(experiment)
    place = known.experiment_id if known else client.create_experiment(experiment)
    return client.create_run(place, start_time=when, tags=tags).info.run_id


def stages(client, when: int) -> dict[str, str]:
    """A run of each stage before the training, as tags of it: snapshot s, cache c."""
    digests = {"scrape": "snapshot", "preprocess": "cache", "reference": "cache"}
    return {
        f"{stage}_run_id": create_run(
            client, "avatars-stages", when, stage=stage, **{f"{data}_digest": data[0]}
        )
        for stage, data in digests.items()
    }


def test_a_training_names_the_newest_runs_of_its_data_and_again_when_there_are_newer(client):
    tags = {"run_key": "k", "snapshot_digest": "s", "cache_digest": "c"}
    training = create_run(client, "sweep", 4, **tags)
    link_stages(client, training)
    assert not any(tag.endswith("_run_id") for tag in client.get_run(training).data.tags)
    create_run(client, "avatars-stages", 3, stage="preprocess", cache_digest="of others")
    for when in (1, 5):
        there = stages(client, when)
        link_stages(client, training)
        assert client.get_run(training).data.tags.items() >= there.items()
    client.delete_run(there["scrape_run_id"])
    link_stages(client, another := create_run(client, "avatars", 6, **tags))
    assert client.get_run(another).data.tags["scrape_run_id"] != there["scrape_run_id"]
