"""Model card of a generator: its content, and that foreign text can't change its structure."""

from collections import Counter

import pytest
import yaml
from hostile_texts import HOSTILE, MARKUP, parse_markdown
from lineages import EVALUATION, LINEAGE, SUBJECT

from pipeline.tracking.model.card import add_code_facts, model_card, read_metrics, without_front

COPIES = {"share": 0.02, "expected": 0.01, "p_value": 0.04, "suspicious": True}


def front(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_a_card_names_data_recipe_and_digests():
    card = model_card(SUBJECT, None)
    for word in ("4,500 avatars", "128,000 images seen", "e" * 64, "s" * 64, "c" * 64):
        assert word in card
    assert "| `discriminator.width` | `6` |" in card
    assert card.count("\n## ") == 7
    assert front(card)["license"] == "cc0-1.0"
    assert front(card)["pipeline_tag"] == "unconditional-image-generation"
    assert "model-index" not in front(card)


def test_pictures_of_several_or_unknown_licences_give_no_licence():
    several = {**LINEAGE, "licences": {"CC0-1.0": 1, "CC-BY-4.0": 2}}
    unknown = {**LINEAGE, "licences": {}, "source": {"source": "booru:https://b.example"}}
    for lineage in (several, unknown, {}):
        card = model_card({**SUBJECT, "lineage": lineage}, None)
        assert front(card)["license"] == "other"
        assert all(name in card for name in lineage.get("licences", {}))


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_neither_makes_markup_nor_breaks_tables(text):
    lineage = {**LINEAGE, "licences": {text: 3}, "source": {text: text}}
    result = {**EVALUATION, "notes": [text], "memorisation": {text: COPIES}}
    hostile = {**SUBJECT, "name": text, "lineage": lineage}
    card = add_code_facts(model_card(hostile, result), {"git_commit": text})
    calm = {**SUBJECT, "lineage": {**LINEAGE, "source": {"source": "x"}}}
    calm_result = {**EVALUATION, "notes": ["x"], "memorisation": {"pixels": COPIES}}
    calm_card = add_code_facts(model_card(calm, calm_result), {"git_commit": "abc"})
    assert calm_card.endswith("| Commit | `abc` |\n")
    kinds, calm_kinds = (
        Counter(token.type for token in parse_markdown(without_front(each)))
        for each in (card, calm_card)
    )
    assert {kind: kinds[kind] for kind in MARKUP & set(kinds)} == {"fence": 1}
    for kind in ("fence", "heading_open", "table_open", "tr_open", "td_open", "list_item_open"):
        assert kinds[kind] == calm_kinds[kind]
    assert front(card)["library_name"] == "mlflow"
    assert read_metrics(card) == {"fd_lite0_24": 12.5}


def test_a_card_without_results_has_no_metrics():
    for text in ("no front", "---\nx: [\n---\n", "---\na: 1\n---\n"):
        assert read_metrics(text) == {}
