"""Meaning of each metric: title, direction, one sentence, paper."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True)
class Meaning:
    """Explanation of a metric for somebody who sees it for the first time."""

    title: str
    better: Better
    text: str
    paper: str


MEANINGS = {
    "frechet": Meaning(
        "Fréchet distance",
        "lower",
        "Distance between Gaussians fitted to the features of fakes and of real images; with "
        "Inception it is FID. It falls with the number of images: compare equal counts only.",
        "Heusel et al. 2017, arXiv:1706.08500",
    ),
    "infinity": Meaning(
        "Fréchet distance at infinite sample size",
        "lower",
        "Fréchet distance extrapolated from several sample sizes to infinitely many fakes, which "
        "removes the bias of a finite sample; with Inception it is FID-infinity.",
        "Chong and Forsyth 2020, arXiv:1911.07023",
    ),
    "kernel": Meaning(
        "Kernel distance",
        "lower",
        "Squared maximum mean discrepancy of the features with a cubic kernel; with Inception it "
        "is KID. Unbiased: near 0, even below, if fakes are distributed like real images.",
        "Bińkowski et al. 2018, arXiv:1801.01401",
    ),
    "kernel_error": Meaning(
        "Standard error of the kernel distance",
        "neither",
        "Standard error of the estimate; a difference of less than about two standard errors "
        "is no evidence.",
        "Bińkowski et al. 2018, arXiv:1801.01401",
    ),
    "precision": Meaning(
        "Precision",
        "higher",
        "Share of the fakes that lie on the manifold of the real images: fidelity.",
        "Kynkäänniemi et al. 2019, arXiv:1904.06991",
    ),
    "recall": Meaning(
        "Recall",
        "higher",
        "Share of the real images that lie on the manifold of the fakes: diversity.",
        "Kynkäänniemi et al. 2019, arXiv:1904.06991",
    ),
    "density": Meaning(
        "Density",
        "higher",
        "Number of real images' neighbourhoods that a fake lies in, relative to the expected "
        "number: precision that is robust to outliers. May exceed 1.",
        "Naeem et al. 2020, arXiv:2002.09797",
    ),
    "coverage": Meaning(
        "Coverage",
        "higher",
        "Share of the real images with a fake in their neighbourhood: recall that is robust to "
        "outliers.",
        "Naeem et al. 2020, arXiv:2002.09797",
    ),
    "score": Meaning(
        "Inception Score",
        "higher",
        "Confidence and diversity of the classes that a classifier of photographs gives the "
        "fakes; real images play no part. Weak evidence for drawings.",
        "Salimans et al. 2016, arXiv:1606.03498",
    ),
    "memorisation": Meaning(
        "Memorisation",
        "lower",
        "Share of the fakes that lie closer to one training image than nearly all hold-out "
        "images do.",
        "After Meehan et al. 2020, arXiv:2004.05675, and Carlini et al. 2023, arXiv:2301.13188",
    ),
    "memorisation_p": Meaning(
        "Memorisation, p-value",
        "neither",
        "Probability of at least that share for a generator that memorised nothing; a small "
        "one is evidence of copies.",
        "After Meehan et al. 2020, arXiv:2004.05675, and Carlini et al. 2023, arXiv:2301.13188",
    ),
}
"""By the names of metrics in a result, in the order of the report."""


def meaning_of(metric: str) -> Meaning:
    """Return the meaning of a metric; its bare name for an unknown one."""
    return MEANINGS.get(metric, Meaning(metric, "neither", "", ""))
