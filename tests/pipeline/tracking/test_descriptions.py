"""Descriptions of runs: a training's sentence and facts, those of the stages."""

import pytest

from pipeline.tracking.descriptions import (
    describe_preprocess,
    describe_reference,
    describe_scrape,
    training_description,
    training_sentence,
)
from pipeline.tracking.mlflow.writer import source_url


@pytest.fixture
def lineage(make_params):
    params = make_params({"train.objective": "wgan_gp", "model.generator.family": "resnet"})
    train = params.train.active() | {"init_from": ""}
    return {
        "decided": {
            "model": params.model.model_dump(),
            "train": train,
            "images": 36000,
            "cache_digest": "c" * 64,
        },
        "preprocess": {"size": 64},
        "snapshot": "e" * 64,
        "source": {"source": "embedded", "licence": "CC0-1.0"},
        "licences": {"CC0-1.0": 4603},
        "counts": {"train": 4603, "holdout": 511},
    }


def test_a_training_is_described_in_one_sentence(lineage):
    assert training_sentence(lineage) == (
        "WGAN-GP on 4,603 avatars of 64 px from the embedded gallery: generator ResNet of width 4 "
        "against discriminator DCGAN of width 4, 36,000 images in batches of 8, seed 1."
    )
    lineage["decided"]["model"]["generator"]["family"] = "dcgan"
    assert "ResNet" not in training_sentence(lineage)
    lineage["decided"]["train"]["objective"] = "brand_new"  # of a later version
    assert training_sentence(lineage).startswith("brand_new on 4,603 avatars")


def test_known_facts_follow_the_sentence(lineage):
    facts = "data `embedded`, licence `CC0-1.0`, snapshot `eeeeeeeeeeee`, cache `cccccccccccc`"
    search = f'Runs of the same data: `tags.cache_digest = "{"c" * 64}"`'
    assert training_description(lineage).split("\n\n") == [
        training_sentence(lineage),
        facts,
        search,
    ]
    lineage |= {"source": {}, "licences": {}, "snapshot": ""}
    assert training_description(lineage).split("\n\n")[1] == "cache `cccccccccccc`"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"source": {"source": "booru:https://host.org/x"}}, {"url": "https://host.org/x"}),
        ({"source": {"source": "embedded"}}, {}),
        ({"source": {"source": "archive:faces.zip"}}, {}),
        ({"source": {}}, {}),
        ({}, {}),
    ],
)
def test_data_from_the_web_has_an_address(source, expected):
    assert source_url(source) == expected


def test_stages_name_their_counts():
    scrape = describe_scrape({"ok": 5130, "gone": 40, "bad": 30}, "embedded", 12)
    assert [number for number in ("5,130", "70", "12") if number not in scrape] == []
    preprocess = describe_preprocess(64, 5130, 4603, 511)
    expected = ("5,114", "64 px", "5,130", "4,603", "511")
    assert [number for number in expected if number not in preprocess] == []
    reference = describe_reference(["lite0"], {"train": 4603, "holdout": 511})
    assert [word for word in ("lite0", "4,603", "511") if word not in reference] == []
