"""Names of metrics: what, seen by whom, how, of how many fakes, against which real images."""

from collections.abc import Sequence

ENOUGH_IMAGES = 2048
"""Images on each side below which a distance of 2,048 features says more about the count."""

KEY_PREFIXES = {
    "frechet": ("fid", "fd"),
    "infinity": ("fid_inf", "fd_inf"),
    "kernel": ("kid", "kd"),
    "kernel_error": ("kid_se", "kd_se"),
    "score": ("is", "is"),
}
"""Metrics with a name of their own if Inception looks, and what they are called otherwise."""


def metric_key(
    metric: str,
    extractor: str,
    count: int,
    against: str = "train",
    small: int | None = None,
    marks: Sequence[str] = (),
) -> str:
    """Key of a metric: `fid_10k`, `kid_5k_holdout`, `precision_lite0_5k`, `fid_bf16_raw_10k`.

    `extractor` is an extractor's name: only `inception`, which is pytorch-fid's network with its
    own weights, gives `fid`, `kid` and `is`. marks: what differs from the usual protocol, such as
    `bf16`. `count`: the fakes. `against`: train (no suffix), holdout or what a source calls
    itself. `small`: what `small_side` returned.
    """
    thousands, rest = divmod(count, 1000)
    parts = [_name(metric, extractor), *marks, f"{thousands}k" if rest == 0 else str(count)]
    if against != "train":
        parts.append(against)
    if small is not None:
        parts.append(f"small{small}")
    return "_".join(parts)


def _name(metric: str, extractor: str) -> str:
    own, otherwise = KEY_PREFIXES.get(metric, (None, metric))
    return own if own and extractor == "inception" else f"{otherwise}_{extractor}"


def precision_marks(precision: str) -> list[str]:
    """Marks of an extractor's precision: none of float32, the usual one."""
    return [] if precision == "float32" else [precision]


def small_side(fakes: int, reals: int) -> int | None:
    """Return the smaller count if a side has too few images for a fair number, else None."""
    smaller = min(fakes, reals)
    return smaller if smaller < ENOUGH_IMAGES else None
