"""Records of what was left out, and the tables rejects.tsv and duplicates.tsv of them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from pipeline.console import one_line
from pipeline.preprocessing.faces.rules import Reject

SAME_FILE, SAME_PIXELS, NEAR = "same file", "same pixels", "near"
DUPLICATE_COLUMNS = ("kept_row", "row", "kept_url", "url", "kind", "dhash", "phash")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rejected picture or face, with the number and URL of its manifest entry.

    `avatar` is its number among the avatars if an avatar was made of it and a filter rejected it.
    """

    entry: int
    url: str
    reject: Reject
    avatar: int | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A manifest entry left out as a duplicate of a kept one; hash distances if it is near."""

    kept_entry: int
    entry: int
    kept_url: str
    url: str
    kind: str
    dhash: int | None = None
    phash: int | None = None


def count_reasons(rejects: Sequence[Rejected]) -> dict[str, int]:
    """Number of rejects by reason, most frequent first."""
    counts = Counter(each.reject.reason for each in rejects)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def rejects_table(rejects: Sequence[Rejected]) -> str:
    """Tab-separated text: a header, then a line for each reject."""
    lines = [
        f"{each.entry}\t{one_line(each.url)}\t{each.reject.reason}\t{one_line(each.reject.detail)}\n"
        for each in rejects
    ]
    return "row\turl\treason\tdetail\n" + "".join(lines)


def duplicates_table(duplicates: Iterable[Duplicate]) -> Iterator[str]:
    """Lines of tab-separated text: a header, then the duplicates by kept entry and entry."""
    yield "\t".join(DUPLICATE_COLUMNS) + "\n"
    for each in sorted(duplicates, key=attrgetter("kept_entry", "entry")):
        distances = ("" if d is None else str(d) for d in (each.dhash, each.phash))
        urls = one_line(each.kept_url), one_line(each.url)
        fields = (str(each.kept_entry), str(each.entry), *urls, each.kind, *distances)
        yield "\t".join(fields) + "\n"
