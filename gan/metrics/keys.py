"""Names of metrics: extractor, number of fakes, split of the real images, and too-small sides."""

from gan.errors import GanError

ENOUGH = 2048
"""Images on each side below which a distance of 2,048 features says more about the count."""


def metric_key(prefix: str, count: int, split: str, small: int | None) -> str:
    """Key of a metric: `fid_10k`, `fd_lite0_5k_holdout`, `fd_lite0_5k_holdout_small500`.

    `prefix` is the extractor's name, `count` the fakes, `split` train (no suffix) or holdout,
    `small` what `small_side` returned.
    """
    thousands, rest = divmod(count, 1000)
    parts = [prefix, f"{thousands}k" if rest == 0 else str(count)]
    if split != "train":
        parts.append(split)
    if small is not None:
        parts.append(f"small{small}")
    return "_".join(parts)


def small_side(fakes: int, reals: int, allow_small: bool) -> int | None:
    """Return the smaller count if a side has too few images for a fair number, else None.

    Raises GanError if one has and `allow_small` is off: the distance falls with the count.
    """
    smaller = min(fakes, reals)
    if smaller >= ENOUGH:
        return None
    if allow_small:
        return smaller
    raise GanError(
        f"{fakes} fakes against {reals} real images: fewer than {ENOUGH} on a side give no fair "
        "number; use more, or set evaluate.allow_small: true and the metric's key says so"
    )
