"""Face share: an alarm against pictures that show no faces, never a ranking.

A detector of faces looks for eyes, a mouth and a chin, as clear as possible: young and collapsed
generators, whose faces are all alike, can have more of them than real pictures. So it ranks no
runs and selects no snapshot; a share far below that of real images says that something is wrong.
"""

from gan.features.statistics import Features
from gan.metrics.metric import Metric, Number, check_features

MAX_PICTURES = 500  # on a side: the standard error of a share is at most 0.022


def compare_face_shares(real: Features, fake: Features) -> dict[str, float]:
    """Shares of fakes and of real images with a face, in [0, 1], by the names of the numbers.

    real (N, 1) and fake (M, 1) are 1 where a detector found a face, else 0. GanError without any.
    """
    check_features(real, fake, least=1, purpose="face share")
    return {
        "face_share": float(fake.mean(dtype=float)),
        "face_share_real": float(real.mean(dtype=float)),
    }


DETECTOR = "animeface"
PAPER = "AnimeFace (nagadomi, 2009)"

METRIC = Metric(
    (
        Number(
            "face_share",
            "Face share",
            "neither",
            "Share of the fakes in which a detector finds an anime face: an alarm against "
            "pictures without faces, never a ranking. Only a share far below that of real images "
            "means something; poor generators can exceed it.",
            PAPER,
            chief=True,
            extractor=DETECTOR,
        ),
        Number(
            "face_share_real",
            "Face share of real images",
            "neither",
            "The same of real images, of the hold-out where there is one: what the share of the "
            "fakes is to be seen beside.",
            PAPER,
            extractor=DETECTOR,
        ),
    ),
    max_fakes=MAX_PICTURES,
)
