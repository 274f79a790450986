"""Descriptions of trainings: a sentence and facts."""

import pytest

from pipeline.tracking.descriptions import training_description, training_sentence
from pipeline.tracking.mlflow.writer import source_url


@pytest.fixture
def lineage(make_params):
    families = {"model.generator.family": "antialiased", "model.discriminator.family": "dcgan"}
    params = make_params(families | {"train.objective": "wgan_gp"})
    return {
        "decided": {
            "model": params.model.model_dump(),
            "train": params.train.active() | {"init_from": ""},
            "images": 36000,
            "cache_digest": "c" * 64,
        },
        "preprocess": {"size": 64},
        "snapshot": "e" * 64,
        "source": {"source": "embedded", "licence": "CC0-1.0"},
        "licences": {"CC0-1.0": 4603},
        "counts": {"train": 4603, "holdout": 511},
    }


def test_a_training_is_described_in_one_sentence_and_known_facts(lineage):
    assert training_sentence(lineage) == (
        "WGAN-GP on 4,603 avatars of 64 px from the embedded gallery: generator antialiased "
        "DCGAN of width 4 against discriminator DCGAN of width 4, 36,000 images in batches "
        "of 8, seed 1."
    )
    facts = training_description(lineage)
    for fact in ("embedded", "CC0-1.0", "e" * 12, "c" * 12):
        assert f"`{fact}`" in facts
    lineage["decided"]["model"]["generator"]["family"] = "dcgan"
    assert "antialiased" not in training_sentence(lineage)
    lineage["decided"]["train"]["objective"] = "brand_new"  # of a later version
    assert training_sentence(lineage).startswith("brand_new on 4,603 avatars")
    lineage |= {"source": {}, "licences": {}, "snapshot": ""}
    assert "licence" not in training_description(lineage)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"source": {"source": "booru:https://host.org/x"}}, {"url": "https://host.org/x"}),
        ({"source": {"source": "archive:faces.zip"}}, {}),
        ({}, {}),
    ],
)
def test_data_from_the_web_has_an_address(source, expected):
    assert source_url(source) == expected
