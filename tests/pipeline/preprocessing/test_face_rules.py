"""Rules for face boxes: kept ones, and the reason against each other one."""

import pytest

from pipeline.preprocessing.faces.box import Box
from pipeline.preprocessing.faces.rules import FaceRules, choose_boxes

RULES = FaceRules(min_score=0.5, min_side=43, min_share=0.1, max_faces=3)
PAGE = (1000, 800)


def reasons_against(*boxes, rules=RULES, size=PAGE):
    """(reason, detail) of each reject; asserts that every box is kept or rejected."""
    kept, rejects = choose_boxes(boxes, size, rules)
    assert sorted([*kept, *(each.box for each in rejects)], key=repr) == sorted(boxes, key=repr)
    return [(each.reason, each.detail) for each in rejects]


def test_good_boxes_are_kept_best_first():
    faces = [Box(0, 0, 100, 100, 0.7), Box(300, 0, 90, 90, 0.9), Box(600, 0, 120, 120, 0.9)]
    kept, rejects = choose_boxes(faces, PAGE, RULES)
    assert kept == [faces[2], faces[1], faces[0]]
    assert rejects == []


@pytest.mark.parametrize(
    ("box", "reason", "detail"),
    [
        (Box(5, 6, 20, 20), "face too small", "20x20 at 5,6: under 43 pixels"),
        (Box(5, 6, 42.9, 50), "face too small", "43x50 at 5,6: under 43 pixels"),
        (
            Box(5, 6, 79, 79),
            "face too small for its picture",
            "79x79 at 5,6: 0.099 of its short side, under 0.1",
        ),
        (
            Box(-30, 100, 90, 90),
            "box leaves the picture",
            "90x90 at -30,100: the picture is 1000x800",
        ),
        (
            Box(900, 700, 150, 150),
            "box leaves the picture",
            "150x150 at 900,700: the picture is 1000x800",
        ),
        (
            Box(2000, 90, 90, 90),
            "box leaves the picture",
            "90x90 at 2000,90: the picture is 1000x800",
        ),
        (
            Box(100, 100, 90, 190),
            "box too long or too flat",
            "90x190 at 100,100: one side is 2.1 times the other",
        ),
        (
            Box(100, 100, 300, 100),
            "box too long or too flat",
            "300x100 at 100,100: one side is 3.0 times the other",
        ),
        (Box(9, 9, 90, 90, 0.45), "score too low", "90x90 at 9,9: score 0.45, under 0.5"),
    ],
)
def test_a_rejected_box_has_its_reason(box, reason, detail):
    assert reasons_against(box) == [(reason, detail)]


def test_a_box_at_the_limits_is_kept():
    limits = [
        Box(0, 0, 80, 80, 0.5),
        Box(200, 200, 80, 160),
        Box(-20, 400, 80, 80),
    ]
    assert reasons_against(*limits) == []
    assert reasons_against(Box(0, 0, 43, 43), rules=FaceRules(0.0, 43, 0.0, 1)) == []


def test_of_two_boxes_on_one_face_the_better_one_is_kept():
    good, worse = Box(100, 100, 100, 100, 0.9), Box(110, 105, 120, 120, 0.8)
    assert reasons_against(worse, good) == [
        ("face found twice", "120x120 at 110,105: lies on 100x100 at 100,100")
    ]
    inside = Box(110, 110, 80, 80, 1.0)
    assert reasons_against(good, inside)[0][0] == "face found twice"
    assert reasons_against(good, Box(160, 100, 100, 100, 0.8)) == []


def test_of_equal_scores_the_larger_box_is_the_better():
    small, large = Box(110, 110, 90, 90), Box(100, 100, 110, 110)
    kept, _ = choose_boxes([small, large], PAGE, RULES)
    assert kept == [large]


def test_faces_past_the_limit_are_the_worst_ones():
    faces = [Box(100 * i, 0, 90, 90, 0.5 + 0.1 * i) for i in range(5)]
    kept, rejects = choose_boxes(faces, PAGE, RULES)
    assert kept == faces[:1:-1]
    assert [each.box for each in rejects] == [faces[1], faces[0]]
    assert {each.reason for each in rejects} == {"more faces than allowed"}
    assert rejects[0].detail == "90x90 at 100,0: 3 better ones are kept"


def test_a_rejected_box_does_not_suppress_another():
    absurd, face = Box(100, 100, 90, 300, 1.0), Box(100, 100, 90, 90, 0.6)
    kept, _ = choose_boxes([absurd, face], PAGE, RULES)
    assert kept == [face]


def test_the_order_of_the_boxes_does_not_matter():
    faces = [Box(100 * i, 0, 90 + i % 2, 90, 0.8) for i in range(5)]
    assert choose_boxes(faces, PAGE, RULES) == choose_boxes(faces[::-1], PAGE, RULES)
