"""Rules for face boxes: kept ones, and the reason against each other one."""

import pytest
from preprocess_inputs import section

from pipeline.faces.box import Box
from pipeline.preprocessing.faces.rules import choose_boxes

PAGE = (1000, 800)


def choose(*boxes, **limits):
    """Kept boxes and rejects; asserts that every box is one of both."""
    limits = {"min_score": 0.5, "min_side": 43, "min_share": 0.1, "max_faces": 3} | limits
    kept, rejects = choose_boxes(boxes, PAGE, section(faces=limits).faces)
    assert sorted([*kept, *(each.box for each in rejects)], key=repr) == sorted(boxes, key=repr)
    return kept, [(each.reason, each.detail) for each in rejects]


def test_good_boxes_are_kept_best_first_in_whatever_order_they_come():
    faces = [Box(0, 0, 100, 100, 0.7), Box(300, 0, 90, 90, 0.9), Box(600, 0, 120, 120, 0.9)]
    assert choose(*faces) == choose(*faces[::-1]) == (faces[::-1], [])


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (Box(5, 6, 42.9, 50), "face too small"),
        (Box(5, 6, 79, 79), "face too small for its picture"),
        (Box(-30, 100, 90, 90), "box leaves the picture"),
        (Box(2000, 90, 90, 90), "box leaves the picture"),
        (Box(100, 100, 90, 190), "box too long or too flat"),
        (Box(9, 9, 90, 90, 0.45), "score too low"),
    ],
)
def test_a_rejected_box_has_its_reason(box, reason):
    kept, [(found, detail)] = choose(box)
    assert (kept, found) == ([], reason)
    assert detail.startswith(f"{box}: ")


def test_a_box_at_the_limits_is_kept():
    assert choose(Box(0, 0, 80, 80, 0.5), Box(200, 200, 80, 160), Box(-20, 400, 80, 80))[1] == []
    assert choose(Box(0, 0, 43, 43), min_share=0.0)[1] == []


def test_of_two_boxes_on_one_face_the_better_one_is_kept():
    good, worse = Box(100, 100, 100, 100, 0.9), Box(110, 105, 120, 120, 0.8)
    expected = ("face found twice", "120x120 at 110,105: lies on 100x100 at 100,100")
    assert choose(worse, good) == ([good], [expected])
    inside = Box(110, 110, 80, 80, 1.0)
    assert choose(good, inside)[0] == [inside]
    assert choose(good, Box(160, 100, 100, 100, 0.8))[1] == []
    absurd = Box(100, 100, 90, 300, 1.0)
    assert choose(absurd, good)[0] == [good]
    large = Box(90, 90, 110, 110, 0.9)
    assert choose(good, large)[0] == [large]


def test_faces_past_the_limit_are_the_worst_ones():
    faces = [Box(100 * i, 0, 90, 90, 0.5 + 0.1 * i) for i in range(5)]
    kept, rejects = choose(*faces)
    assert kept == faces[:1:-1]
    assert rejects[0] == ("more faces than allowed", "90x90 at 100,0: 3 better ones are kept")
    assert len(rejects) == 2
