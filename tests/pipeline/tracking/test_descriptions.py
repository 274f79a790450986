"""What a row says of itself before its first number."""

import pytest

from pipeline.tracking.descriptions import (
    description,
    of_preprocess,
    of_reference,
    of_scrape,
    sentence,
)
from pipeline.tracking.mlflow.writer import _address


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


def test_the_sentence_says_what_learned_from_what_for_how_long(lineage):
    assert sentence(lineage) == (
        "WGAN-GP on 4,603 avatars of 64 px from the embedded gallery: generator ResNet of width 4 "
        "against discriminator DCGAN of width 4, 36,000 images in batches of 8, seed 1."
    )
    lineage["decided"]["model"]["generator"]["family"] = "dcgan"
    assert ": generator and discriminator DCGAN of width 4, " in sentence(lineage)


def test_an_objective_of_later_keeps_its_own_name(lineage):
    lineage["decided"]["train"]["objective"] = "brand_new"
    assert sentence(lineage).startswith("brand_new on 4,603 avatars")


def test_facts_stand_below_the_sentence_and_those_that_are_unknown_do_not(lineage):
    facts = "data `embedded`, licence `CC0-1.0`, snapshot `eeeeeeeeeeee`, cache `cccccccccccc`"
    assert description(lineage) == f"{sentence(lineage)}\n\n{facts}"
    lineage |= {"source": {}, "licences": {}, "snapshot": ""}
    assert description(lineage).endswith("\n\ncache `cccccccccccc`")


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
    assert _address(source) == expected


def test_stages_say_in_a_sentence_what_they_made():
    assert of_scrape({"ok": 5130, "gone": 40, "bad": 30}, "embedded", 12) == (
        "Dataset of the embedded gallery: 5,130 pictures, 70 others could not be had; "
        "12 came in this call."
    )
    assert of_preprocess(64, 5130, 4603, 511) == (
        "Tensor cache of 5,114 avatars of 64 px from 5,130 pictures: 4,603 to learn from, 511 "
        "held out."
    )
    assert of_reference(["lite0"], {"train": 4603, "holdout": 511}) == (
        "Features of the real images by lite0: 4,603 of train and 511 of holdout."
    )
