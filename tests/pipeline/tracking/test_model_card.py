"""Model card of a generator: its content, and that foreign text can't change its structure."""

import json

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt

from pipeline.paths import Paths
from pipeline.runs.evaluate_one import Request, evaluate_one
from pipeline.stages import reference
from pipeline.tracking.model.card import add_code_facts, model_card, read_metrics, without_front

LINEAGE = {
    "decided": {
        "model": {
            "latent_size": 8,
            "generator": {"family": "dcgan", "width": 4},
            "discriminator": {"family": "resnet", "width": 6},
        },
        "train": {"objective": "hinge", "batch_size": 8, "seed": 1, "init_from": ""},
        "cache_digest": "d" * 64,
        "code_digest": "c" * 64,
        "images": 192,
    },
    "preprocess": {"size": 32},
    "snapshot": "s" * 64,
    "source": {"source": "embedded", "licence": "CC0-1.0"},
    "licences": {"CC0-1.0": 50},
    "counts": {"train": 4500, "holdout": 5},
}
SUBJECT = {
    "name": "hinge 32px w4 s1",
    "size": 32,
    "images_seen": 128_000,
    "run_key": "e" * 64,
    "weights": "averaged",
    "trained_on": "d" * 64,
    "lineage": LINEAGE,
    "sha256": "f" * 64,
}
HOSTILE = "<script>x</script> | `a` [b](http://evil.example)\n# c\n---\n"


def front(card):
    return yaml.safe_load(card.split("---\n")[1])


def page(card):
    return MarkdownIt("commonmark").enable("table").render(without_front(card))


def test_a_card_names_data_recipe_and_digests():
    card = model_card(SUBJECT, None)
    for word in ("4,500 avatars", "5 more held out", "128,000 images seen", "e" * 64, "s" * 64,
                 "c" * 64, "`family resnet, width 6`", "| CC0-1.0 | 50 |", "`embedded`",
                 "(3, 32, 32, 3) uint8"):  # fmt: skip
        assert word in card
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Model Details",
        "## Uses",
        "## Bias, Risks, and Limitations",
        "## How to Get Started with the Model",
        "## Training Details",
        "## Evaluation",
        "## Provenance",
    ]
    assert front(card)["license"] == "cc0-1.0"
    assert front(card)["pipeline_tag"] == "unconditional-image-generation"
    assert "model-index" not in front(card)


@pytest.mark.parametrize(
    "lineage",
    [
        {**LINEAGE, "licences": {"CC0-1.0": 1, "CC-BY-4.0": 2}},
        {**LINEAGE, "licences": {"unknown": 3}},
        {**LINEAGE, "licences": {}, "source": {"source": "booru:https://b.example"}},
        {},
    ],
)
def test_pictures_of_several_or_unknown_licences_give_no_licence(lineage):
    card = model_card({**SUBJECT, "lineage": lineage}, None)
    assert front(card)["license"] == "other"
    assert all(name in card for name in lineage.get("licences", {}))


def test_foreign_text_neither_makes_markup_nor_breaks_tables():
    lineage = {**LINEAGE, "licences": {HOSTILE: 3}, "source": {HOSTILE: HOSTILE}}
    card = model_card({**SUBJECT, "name": HOSTILE, "lineage": lineage}, None)
    shown = page(card)
    assert "<script>" not in shown
    assert "href" not in shown
    assert shown.count("<h1>") == 1
    assert page(card).count("<table>") == page(model_card(SUBJECT, None)).count("<table>")
    assert front(card)["library_name"] == "mlflow"


def test_facts_of_the_code_are_appended_to_the_last_table():
    card = add_code_facts(model_card(SUBJECT, None), {"git_commit": "abc", "stage": "train"})
    assert card.endswith("| Commit | `abc` |\n")
    assert page(card).count("<table>") == page(model_card(SUBJECT, None)).count("<table>")


@pytest.mark.parametrize("text", ["", "no front", "---\nx: [\n---\n", "---\na: 1\n---\n"])
def test_a_card_without_results_has_no_metrics(text):
    assert read_metrics(text) == {}


@pytest.mark.slow
def test_a_real_evaluation_stands_in_the_card(tmp_path, make_params, write_cache, checkpoint):
    params = make_params(
        {
            "evaluate.num_fakes": 24,
            "evaluate.report_seeds": [2, 3],
            "evaluate.allow_small": True,
            "evaluate.splits": ["train", "holdout"],
            "evaluate.metrics": ["frechet_distance", "memorisation"],
            "features.extractors": ["lite0"],
        }
    )
    paths = Paths(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (120, 32, 32, 3), dtype=np.uint8)
    write_cache(paths.cache, images, holdout=60)
    reference.run(params, paths)
    asked = Request(ckpt=checkpoint, other_data=True)
    result = json.loads(json.dumps(evaluate_one(asked, params, paths).result))
    card = model_card(result["subject"], result)
    assert read_metrics(card) == {key: each["value"] for key, each in result["metrics"].items()}
    assert read_metrics(card)
    shown = page(card)
    for key in result["metrics"]:
        assert f"<code>{key}</code>" in shown
    for note in result["notes"]:
        assert " ".join(note.split())[:30] in shown
    if found := result["memorisation"].get("pixels"):
        assert f"p = {found['p_value']:.2g}" in shown
    assert str(tmp_path) not in card
