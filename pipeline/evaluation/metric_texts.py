"""What each metric means, in a line, and who says so."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True)
class Meaning:
    """A metric for somebody who sees its number for the first time."""

    title: str
    better: Better
    text: str
    paper: str


MEANINGS = {
    "frechet": Meaning(
        "Fréchet distance",
        "lower",
        "How far apart Gaussians lie that are fitted to the features of fakes and of reals; FID "
        "if Inception looks. It falls with the number of images: only equal counts compare.",
        "Heusel et al. 2017, arXiv:1706.08500",
    ),
    "infinity": Meaning(
        "Fréchet distance of endless fakes",
        "lower",
        "The Fréchet distance at several counts, extrapolated to endless fakes: the part of it "
        "that comes from their number is gone.",
        "Chong and Forsyth 2020, arXiv:1911.07023",
    ),
    "kernel": Meaning(
        "Kernel distance",
        "lower",
        "Squared maximum mean discrepancy of the features, cubic kernel; KID if Inception "
        "looks. Unbiased: near 0, also below it, where fakes cannot be told from reals.",
        "Bińkowski et al. 2018, arXiv:1801.01401",
    ),
    "kernel_error": Meaning(
        "Standard error of the kernel distance",
        "neither",
        "How sure the kernel distance is; two models that differ by less than about two of "
        "these are not told apart.",
        "Bińkowski et al. 2018, arXiv:1801.01401",
    ),
    "precision": Meaning(
        "Precision",
        "higher",
        "Share of the fakes that lie among the reals: quality.",
        "Kynkäänniemi et al. 2019, arXiv:1904.06991",
    ),
    "recall": Meaning(
        "Recall",
        "higher",
        "Share of the reals that lie among the fakes: variety.",
        "Kynkäänniemi et al. 2019, arXiv:1904.06991",
    ),
    "density": Meaning(
        "Density",
        "higher",
        "How many reals' neighbourhoods a fake lies in, over how many one would expect: "
        "precision that outliers move less. May exceed 1.",
        "Naeem et al. 2020, arXiv:2002.09797",
    ),
    "coverage": Meaning(
        "Coverage",
        "higher",
        "Share of the reals that have a fake in their neighbourhood: recall that outliers move "
        "less.",
        "Naeem et al. 2020, arXiv:2002.09797",
    ),
    "score": Meaning(
        "Inception Score",
        "higher",
        "Clear and varied classes of the fakes alone. The classes are of photographs, and no "
        "real image is asked: weak evidence for drawings.",
        "Salimans et al. 2016, arXiv:1606.03498",
    ),
    "memorisation": Meaning(
        "Memorisation",
        "lower",
        "Share of the fakes that come nearer to one training image than nearly all of the "
        "hold-out does.",
        "After Meehan et al. 2020, arXiv:2004.05675, and Carlini et al. 2023, arXiv:2301.13188",
    ),
    "memorisation_p": Meaning(
        "Memorisation, p-value",
        "neither",
        "How often chance alone gives at least that share where nothing is memorised; a small "
        "one is evidence of copies.",
        "After Meehan et al. 2020, arXiv:2004.05675, and Carlini et al. 2023, arXiv:2301.13188",
    ),
}
"""By the names that a result uses, in the order in which a report shows them."""


def meaning_of(metric: str) -> Meaning:
    """The meaning of a metric; one without words for a metric that nobody described."""
    return MEANINGS.get(metric, Meaning(metric, "neither", "", ""))
