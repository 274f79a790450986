"""Sizes, shapes and colours of a data card as Markdown tables with text bars."""

from collections.abc import Sequence
from typing import Any

from pipeline.crawl.data_card.markdown import bars, number, percent, share_of, table

SIDES = ("under 32", "32-63", "64-95", "96-127", "128-255", "256-511", "512-1023", "1024 and over")
ASPECTS = (
    "taller than 1:2",
    "1:2 to 3:4",
    "3:4 to 19:20",
    "square, within 5 %",
    "20:19 to 4:3",
    "4:3 to 2:1",
    "2:1 and wider",
)


def describe_sizes(sizes: dict[str, Any]) -> str:
    """Widths, heights and short sides by class, without the empty classes at both ends."""
    short = sizes["short_side"]["histogram"]
    whole = sum(short)
    columns = (sizes["width"]["histogram"], sizes["height"]["histogram"], short)
    lines = [
        [name, *map(number, counts), mark, share_of(sum(short[i:]), whole)]
        for i, (name, *counts, mark) in enumerate(zip(SIDES, *columns, bars(short), strict=True))
    ]
    kept = _trim(lines, [sum(counts) for counts in zip(*columns, strict=True)])
    ranges = ", ".join(f"{name.replace('_', ' ')} {span(sizes[name])}" for name in sizes)
    heads = ["pixels", ">width", ">height", ">short side", "", ">short side at least this"]
    note = (
        f"In pixels: {ranges}. Training enlarges pictures whose short side is below its size.\n\n"
    )
    return note + table(heads, kept)


def describe_aspects(counts: list[int]) -> str:
    """Shapes by class, without the empty classes at both ends."""
    whole = sum(counts)
    lines = [
        [name, number(count), share_of(count, whole), mark]
        for name, count, mark in zip(ASPECTS, counts, bars(counts), strict=True)
    ]
    return table(["width to height", ">pictures", ">share", ""], _trim(lines, counts))


def _trim(lines: list[list[str]], counts: Sequence[int]) -> list[list[str]]:
    """The lines from the first to the last whose count isn't 0."""
    filled = [i for i, count in enumerate(counts) if count]
    return lines[filled[0] : filled[-1] + 1] if filled else []


def span(extent: dict[str, Any]) -> str:
    """Smallest, largest and median value in words; one number where all are the same."""
    if extent["min"] == extent["max"]:
        return number(extent["min"])
    return (
        f"{number(extent['min'])} to {number(extent['max'])} (median {number(extent['median'])})"
    )


def describe_colours(colours: dict[str, Any], pictures: int) -> list[str]:
    """Paragraphs and tables of `measure_colours`' values; `pictures` is how many there are."""
    if not colours["pictures"]:
        return ["Not measured: no picture could be decoded.\n"]
    return [_sampling(colours, pictures), _channels(colours), _levels(colours), _hues(colours)]


def _sampling(colours: dict[str, Any], pictures: int) -> str:
    text = (
        f"Measured on {number(colours['pictures'])} of {number(pictures)} pictures (at most "
        f"{number(colours['at_most'])}, fewer where their files are large), spread evenly over "
        "the order of their sha256, the longer side shrunk to 64 to 127 pixels. Each picture "
        "weighs the same."
    )
    if unreadable := colours["unreadable"]:
        text += f" Another {number(unreadable)} could not be decoded."
    return text + "\n"


def _channels(colours: dict[str, Any]) -> str:
    lines = [
        [name, *(f"{value:.1f}" for value in colours[key])]
        for name, key in (("mean", "mean_rgb"), ("standard deviation", "std_rgb"))
    ]
    grey = colours["greyscale"]
    share = f"{number(grey)} of them ({share_of(grey, colours['pictures'])}) are greyscale."
    heads = ["0 to 255", ">red", ">green", ">blue"]
    return table(heads, lines) + f"\n{share if grey else 'None of them is greyscale.'}\n"


def _levels(colours: dict[str, Any]) -> str:
    columns = (colours["brightness"], colours["saturation"])
    width = 256 // len(columns[0])
    lines = [
        [f"{width * i}-{width * (i + 1) - 1}", percent(light), bar, percent(strong), other]
        for i, (light, bar, strong, other) in enumerate(
            zip(columns[0], bars(columns[0]), columns[1], bars(columns[1]), strict=True)
        )
    ]
    note = "Pixels by brightness (luma) and by saturation (of HSV):\n\n"
    return note + table(["level", ">brightness", "", ">saturation", ""], lines)


def _hues(colours: dict[str, Any]) -> str:
    marks = bars([share for _, share in colours["hues"]])
    lines = [
        [name, percent(share), mark]
        for (name, share), mark in zip(colours["hues"], marks, strict=True)
    ]
    note = (
        f"Hues of the {percent(colours['coloured_pixels'])} of pixels that have one (saturation "
        "and value of 51 or more); skin is mostly red and orange:\n\n"
    )
    return note + table(["hue", ">share", ""], lines)
