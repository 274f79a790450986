"""Face share: its numbers rank nothing; AnimeFace finds faces in avatars, none in noise."""

import numpy as np
import pytest
from PIL import Image
from preprocess_inputs import HAS_WHEEL

from gan.errors import GanError
from gan.metrics.build import load_metric
from gan.metrics.face_share import compare_face_shares
from pipeline.evaluation.face_share import BORDER, enlarge, open_face_descriptor
from pipeline.evaluation.select_snapshot import PREFERRED
from pipeline.gallery.painter import paint


def test_shares_are_of_each_side_alone_and_rank_nothing():
    real, fake = np.float32([[1], [1], [1], [0]]), np.float32([[1], [0], [0], [0], [0]])
    assert compare_face_shares(real, fake) == {"face_share": 0.2, "face_share_real": 0.75}
    with pytest.raises(GanError, match="face share"):
        compare_face_shares(real, fake[:0])
    numbers = load_metric("face_share").numbers
    assert {(each.rank, each.better) for each in numbers} == {(None, "neither")}
    assert "face_share" not in PREFERRED


def test_a_picture_is_enlarged_and_framed_in_white():
    framed = np.asarray(enlarge(Image.new("RGB", (6, 4), (10, 20, 30))))
    assert framed.shape == (8 + 2 * BORDER, 12 + 2 * BORDER, 3)
    assert (framed[BORDER:-BORDER, BORDER:-BORDER] == (10, 20, 30)).all()
    framed = framed.copy()
    framed[BORDER:-BORDER, BORDER:-BORDER] = 255
    assert (framed == 255).all()


@pytest.mark.skipif(not HAS_WHEEL, reason="animeface has no wheel for this platform")
def test_most_drawn_avatars_have_a_face_and_noise_has_none():
    drawn = np.stack([np.asarray(paint(seed, 64)) for seed in range(40)])
    noise = np.random.default_rng(0).integers(0, 256, drawn.shape, dtype=np.uint8)
    descriptor = open_face_descriptor()
    both = [descriptor.describe(each.transpose(0, 3, 1, 2)) for each in (drawn, noise)]
    assert [each.shape for each in both] == [(40, 1)] * 2
    shares = descriptor.compare(*both)
    assert shares["face_share_real"] > 0.75
    assert shares["face_share"] < 0.05
