"""Keys of metrics: metric, extractor, protocol, number of fakes, real images."""

from collections.abc import Sequence

ENOUGH_IMAGES = 2048
"""Images on each side; with fewer, a distance of 2,048 features depends mostly on their number."""

KEY_PREFIXES = {
    "frechet": ("fid", "fd"),
    "infinity": ("fid_inf", "fd_inf"),
    "kernel": ("kid", "kd"),
    "kernel_error": ("kid_se", "kd_se"),
    "score": ("is", "is"),
}
"""Beginnings of keys, with Inception and with other extractors, by the name in evaluation.json."""


def metric_key(
    metric: str,
    extractor: str,
    count: int,
    against: str = "train",
    small: int | None = None,
    marks: Sequence[str] = (),
) -> str:
    """Key of a metric: `fid_10k`, `kid_5k_holdout`, `precision_lite0_5k`, `fid_bf16_raw_10k`.

    extractor: an extractor's name; only `inception`, pytorch-fid's network with its own weights,
    gives `fid`, `kid` and `is`. marks: differences from the usual protocol, such as `bf16`. count:
    number of fakes. against: train (no suffix), holdout or the tag of another source. small: as
    returned by `small_side`.
    """
    thousands, rest = divmod(count, 1000)
    parts = [_name(metric, extractor), *marks, f"{thousands}k" if rest == 0 else str(count)]
    if against != "train":
        parts.append(against)
    if small is not None:
        parts.append(f"small{small}")
    return "_".join(parts)


def _name(metric: str, extractor: str) -> str:
    inception, other = KEY_PREFIXES.get(metric, (None, metric))
    return inception if inception and extractor == "inception" else f"{other}_{extractor}"


def precision_marks(precision: str) -> list[str]:
    """Mark of an extractor's precision; none for float32, the usual one."""
    return [] if precision == "float32" else [precision]


def small_side(fakes: int, reals: int) -> int | None:
    """Smaller number of images if it is below ENOUGH_IMAGES, else None."""
    smaller = min(fakes, reals)
    return smaller if smaller < ENOUGH_IMAGES else None
