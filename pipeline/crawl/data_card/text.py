"""The data card as a Markdown page, from the values of `pipeline.crawl.data_card.measure`."""

import json
from typing import Any

from pipeline.crawl.data_card.figures import (
    describe_aspects,
    describe_colours,
    describe_sizes,
    span,
)
from pipeline.crawl.data_card.markdown import bars, number, share_of, size, table
from pipeline.markdown import code

MEANINGS = {
    "ok": "kept",
    "bad": "no picture, or a damaged one",
    "gone": "not there any more",
    "blocked": "refused, by the site or by the crawler's own rules",
    "too_large": "over the limit of bytes or pixels",
    "failed": "an error that may pass; the next run tries again",
}
READING = """\
Measured from the dataset alone: equal datasets give the same card, byte for byte. An *address*
is an entry of `manifest.jsonl`; a *picture* is a file that was kept, and addresses whose files
have the same bytes share one. Sizes and shapes are of pictures; licences, ratings, formats and
tags are of the addresses that gave one. A bar is relative to the longest one of its column. Texts
from the sources (sites, tags, ratings, licences) are shown `as code` and are unchecked. The same
numbers for programs: `data_card.json`."""
WEB_ADVICE = (
    "Share the manifest instead: with it `gan scrape --from-manifest FILE` fetches the same "
    "pictures from where they were found."
)
ARCHIVE_ADVICE = (
    "Say instead where the pictures can be had: their addresses are of this copy only."
)
PRUNED = "\nThere were too many to count them all: rare ones were dropped, small counts are low.\n"


def render(card: dict[str, Any]) -> str:
    """The page, a function of the card; texts of crawled sites can't act as markup."""
    sections = (
        _headline(card),
        _section("Source", _source(card)),
        _section("How to read this card", READING + "\n"),
        _section("Addresses by status", _statuses(card), _reasons(card)),
        _section("Sites", _sites(card), _origins(card)),
        _section("Licences and ratings", _values(card, "licences"), _values(card, "ratings")),
        _section("Files", _files(card), _values(card, "formats")),
        _section("Sizes", describe_sizes(card["sizes"]), describe_aspects(card["aspects"])),
        _section("Tags", _tags(card)),
        _section("Colours", *describe_colours(card["colours"], card["pictures"]["distinct"])),
    )
    return "\n".join(sections)


def _section(title: str, *parts: str) -> str:
    return "\n".join([f"## {title}\n", *(part for part in parts if part)])


def _headline(card: dict[str, Any]) -> str:
    pictures, short = card["pictures"], card["sizes"]["short_side"]
    facts = [
        f"**{number(pictures['distinct'])} pictures** from {number(card['rows'])} addresses",
        size(pictures["bytes"]),
        _names(card["formats"]),
        f"short side {span(short)} px",
        _names(card["sites"]),
    ]
    title = code(_value(card["source"].get("source", "a dataset")))
    return f"# Data card: {title}\n\n{' · '.join(facts)}\n\n{_licence_note(card)}"


def _licence_note(card: dict[str, Any]) -> str:
    licences, kept = card["licences"], card["pictures"]["rows"]
    if unknown := licences["unknown"]:
        what = "The pictures' licences are unknown"
        if unknown < kept:
            what = f"{number(unknown)} of {number(kept)} pictures have no known licence"
        advice = WEB_ADVICE if card["on_the_web"] else ARCHIVE_ADVICE
        return _alert("WARNING", f"**{what}; do not redistribute them.** {advice}")
    if licences["different"] == 1:
        return _alert("NOTE", f"All pictures are under {_names(licences)}, says the source.")
    return _alert(
        "NOTE", "Every picture has a licence, says its source; keep to each one's terms."
    )


def _alert(kind: str, text: str) -> str:
    lines = "".join(f"> {line}\n" for line in text.splitlines())
    return f"> [!{kind}]\n{lines}"


def _names(summary: dict[str, Any], most: int = 3) -> str:
    names = [code(each[0]) for each in summary["top"][:most]]
    more = summary["different"] - len(names)
    return ", ".join(names) + (f" and {number(more)} more" if more > 0 else "")


def _source(card: dict[str, Any]) -> str:
    rows = [[code(str(key)), code(_value(value))] for key, value in card["source"].items()]
    return table(["source.yaml", "value"], [*rows, ["digest", code(card["digest"])]])


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _statuses(card: dict[str, Any]) -> str:
    counts, rows = card["statuses"], card["rows"]
    lines = [
        [f"`{status}`", number(count), share_of(count, rows), bar, MEANINGS.get(status, "")]
        for (status, count), bar in zip(counts.items(), bars([*counts.values()]), strict=True)
    ]
    return table(["status", ">addresses", ">share", "", "meaning"], lines)


def _reasons(card: dict[str, Any]) -> str:
    reasons = card["reasons"]
    if not reasons["top"]:
        return "Every address gave a picture.\n"
    lines = [[f"`{status}`", code(text), number(n)] for status, text, n in reasons["top"]]
    if reasons["other"]:
        lines.append(["", "others", number(reasons["other"])])
    note = "Reasons that differ only in numbers (N) or names (…) are one.\n\n"
    return note + table(["status", "reason", ">addresses"], lines) + _note_pruning(reasons)


def _sites(card: dict[str, Any]) -> str:
    sites = card["sites"]
    marks = bars([rows for _, rows, _ in sites["top"]])
    lines = [
        [code(site), number(rows), share_of(kept, rows), mark]
        for (site, rows, kept), mark in zip(sites["top"], marks, strict=True)
    ]
    if sites["other"]:
        lines.append(["others", number(sites["other"]), "", ""])
    return table(["site", ">addresses", ">kept", ""], lines) + _note_pruning(sites)


def _origins(card: dict[str, Any]) -> str:
    origins = card["origins"]
    if not origins["top"]:
        return "No site said where else its pictures are from.\n"
    note = (
        "Where the sites say that the pictures are from; "
        f"of {number(origins['unsaid'])} they say nothing.\n\n"
    )
    return note + _ranking("from", origins)


def _values(card: dict[str, Any], key: str) -> str:
    """The counts of `card[key]`: one sentence where all values are the same, else a table."""
    if not any(value for value, _ in card[key]["top"]):
        return f"{key.capitalize()}: none given.\n"
    if card[key]["different"] == 1:
        return f"{key.capitalize()}: {_names(card[key])} throughout.\n"
    return _ranking(key.removesuffix("s"), card[key])


def _ranking(head: str, summary: dict[str, Any], whole: int | None = None) -> str:
    """Values by frequency; shares are of `whole`, or of the sum of all counts."""
    whole = whole or sum(times for _, times in summary["top"]) + summary["other"]
    marks = bars([times for _, times in summary["top"]])
    lines = [
        [code(value), number(times), share_of(times, whole), mark]
        for (value, times), mark in zip(summary["top"], marks, strict=True)
    ]
    if summary["other"] and head != "tag":
        lines.append(["others", number(summary["other"]), share_of(summary["other"], whole), ""])
    return table([head, ">addresses", ">share", ""], lines) + _note_pruning(summary)


def _files(card: dict[str, Any]) -> str:
    pictures = card["pictures"]
    each = pictures["bytes_a_picture"]
    text = (
        f"{size(pictures['bytes'])} in all; a file has {size(each['min'])} to "
        f"{size(each['max'])}, median {size(each['median'])}. "
    )
    if not pictures["repeats"]:
        return text + "No two addresses gave the same bytes.\n"
    return text + (
        f"{number(pictures['repeats'])} addresses gave bytes that another one had given before; "
        f"the same file came up to {number(pictures['most_copies'])} times.\n"
    )


def _tags(card: dict[str, Any]) -> str:
    tags, kept = card["tags"], card["pictures"]["rows"]
    if not tags["top"]:
        return "No picture has tags.\n"
    average = (sum(times for _, times in tags["top"]) + tags["other"]) / kept
    none = f"{number(tags['untagged'])} have none" if tags["untagged"] else "every one has some"
    return (
        f"{'At least ' * tags['pruned']}{number(tags['different'])} different tags, "
        f"{average:.1f} a picture; {none}. The {len(tags['top'])} most frequent:\n\n"
        + _ranking("tag", tags, kept)
    )


def _note_pruning(summary: dict[str, Any]) -> str:
    return PRUNED if summary["pruned"] else ""
