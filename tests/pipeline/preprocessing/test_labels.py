"""Labels from tags: known, unknown, contradictory; pairs of values against a count by hand."""

from itertools import product

import numpy as np
import pytest
from preprocess_inputs import ATTRIBUTES

from gan.attributes import UNKNOWN, Attribute
from gan.errors import GanError
from gan.params.data import AttributesParams
from gan.params.file import parse_params
from pipeline.dataset.attributes import TaggedPictures, count_labels, find_pairs

HAIR = Attribute("hair", "exclusive", ("red_hair", "grey_hair"))
HAT, GLASSES = (Attribute(name, "independent", ("no", "yes")) for name in ("hat", "glasses"))
NO, YES = 0, 1
RED, GREY = 0, 1


def label(*pictures, owners=None, **changes):
    """Labels (hair, hat, glasses) of pictures with these tags, each a text."""
    tagged = TaggedPictures(AttributesParams.model_validate(ATTRIBUTES | changes))
    assert tagged.vocabulary == (HAIR, HAT, GLASSES)
    for tags in pictures:
        tagged.add(tags.split())
    owners = np.arange(len(pictures)) if owners is None else np.array(owners)
    return [tuple(row) for row in tagged.label(owners, int(owners.max(initial=-1)) + 1).tolist()]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("red_hair smile solo", (RED, NO, NO)),
        ("gray_hair smile solo", (GREY, NO, NO)),
        ("silver_hair grey_hair solo", (GREY, NO, NO)),
        ("red_hair grey_hair solo", (UNKNOWN, NO, NO)),
        ("blue_hair smile solo", (UNKNOWN, NO, NO)),
        ("red_hair beret", (RED, YES, UNKNOWN)),
        ("red_hair hat beret", (RED, YES, NO)),
        ("red_hair red_hair red_hair", (RED, UNKNOWN, UNKNOWN)),
        ("", (UNKNOWN, UNKNOWN, UNKNOWN)),
        ("2girls red_hair glasses", (UNKNOWN, UNKNOWN, UNKNOWN)),
        ("1girl 1boy red_hair glasses", (UNKNOWN, UNKNOWN, UNKNOWN)),
        ("1boy red_hair glasses", (RED, NO, YES)),
        ("Red_Hair Glasses x", (RED, NO, YES)),
    ],
)
def test_a_picture_has_the_values_that_its_tags_say(tags, expected):
    assert label("x y z", tags) == [(UNKNOWN, NO, NO), expected]


def test_tags_with_spaces_and_capitals_are_booru_tags():
    tagged = TaggedPictures(AttributesParams.model_validate(ATTRIBUTES))
    tagged.add(["Silver Hair", "beret"])
    tagged.add(["red_hair", "", "x"])
    expected = [[GREY, YES, UNKNOWN], [RED, NO, NO]]
    assert tagged.label(np.arange(2), 2).tolist() == expected


def test_equal_pictures_share_their_tags_in_any_order():
    pictures = ["red_hair a b", "glasses c", "grey_hair", "hat", "2girls a b", "red_hair"]
    owners = [0, 0, 1, 1, 2, 2]
    expected = [(RED, NO, YES), (GREY, YES, UNKNOWN), (UNKNOWN,) * 3]
    assert label(*pictures, owners=owners) == expected
    assert label(*pictures[::-1], owners=owners[::-1]) == expected
    assert label("red_hair", "grey_hair", owners=[0, 0]) == [(UNKNOWN,) * 3]


def test_one_tag_may_say_two_independent_attributes():
    assert label("cap", independent={"hat": ["cap"], "glasses": ["cap"]}) == [(UNKNOWN, YES, YES)]


def test_counts_and_pairs_are_those_of_a_count_by_hand():
    rng = np.random.default_rng(4)
    vocabulary = (HAIR, HAT, GLASSES)
    labels = rng.integers(-1, 2, (70_000, 3)).astype(np.int8)  # more than one block
    labels[labels[:, 0] == RED, 1] = YES
    counted = count_labels(vocabulary, labels)
    for column, about in enumerate(counted):
        assert about["unknown"] == np.count_nonzero(labels[:, column] == UNKNOWN)
        assert list(about["values"].values()) == [
            np.count_nonzero(labels[:, column] == code) for code in (0, 1)
        ]
    columns = {"red_hair": (0, RED), "grey_hair": (0, GREY), "hat": (1, YES), "glasses": (2, YES)}
    found = find_pairs(vocabulary, labels)
    assert {tuple(pair[:2]) for pair in found} == {
        *product(("red_hair", "grey_hair"), ("hat", "glasses")),
        ("hat", "glasses"),
    }
    assert {pair[:2][0] for pair in found[:2]} == {"red_hair", "grey_hair"}
    assert {pair[:2][1] for pair in found[:2]} == {"hat"}
    for first, second, both, expected in found:
        (one, one_code), (other, other_code) = columns[first], columns[second]
        known = labels[(labels[:, one] != UNKNOWN) & (labels[:, other] != UNKNOWN)]
        has = known[:, one] == one_code, known[:, other] == other_code
        assert both == np.count_nonzero(has[0] & has[1])
        by_chance = has[0].mean() * has[1].mean() * len(known)
        assert expected == pytest.approx(by_chance, abs=0.06)
    assert find_pairs(vocabulary[:1], labels[:, :1]) == []
    assert find_pairs(vocabulary, labels[:0]) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"exclusive": {"hair": {"red_hair": ["x"], "blue_hair": ["X"]}}}, ("hair", "x", "two")),
        ({"exclusive": {"hair": {"red_hair": ["blue_hair"], "blue_hair": []}}}, ("blue_hair",)),
        ({"exclusive": {"hair": {"red_hair": []}}}, ("hair",)),
        ({"independent": {"red_hair": []}}, ("red_hair", "rename")),
        ({"independent": {"a,b": []}}, ("a,b",)),
        ({"ordered": {"length": []}}, ("ordered", "unknown")),
        ({"least_count": 0}, ("least_count",)),
    ],
)
def test_a_wrong_definition_is_one_line_that_names_it(make_params, changes, named):
    values = make_params().model_dump()
    values["preprocess"]["attributes"] = ATTRIBUTES | changes
    with pytest.raises(GanError) as raised:
        parse_params(values, "params.yaml")
    text = str(raised.value)
    assert "\n" not in text
    assert text.startswith("params.yaml: preprocess.attributes")
    for name in named:
        assert name in text
