"""The images that an earlier crawl settled, in little memory: a few dozen bytes an entry."""

import hashlib
from collections import Counter
from collections.abc import Callable

from pipeline.dataset.manifest import ManifestEntry
from pipeline.dataset.reader import Dataset

MISJUDGED = ("no JPEG, PNG, WebP or GIF", "MAX_TEXT_CHUNK", "memory used in text chunks")
"""Parts of the reasons by which earlier versions called pictures `bad` that may be good."""


def is_final(entry: ManifestEntry) -> bool:
    """False for an entry that a later crawl asks for again: failed, or judged wrongly."""
    misjudged = entry.status == "bad" and any(part in entry.reason for part in MISJUDGED)
    return entry.status != "failed" and not misjudged


def url_key(url: str) -> bytes:
    """16 bytes that stand for an address."""
    return hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class EarlierCrawl:
    """Addresses and contents of the dataset that a crawl adds to; empty without one.

    `unsettled` counts, by status, the entries that are asked for again.
    """

    def __init__(
        self,
        dataset: Dataset | None = None,
        is_settled: Callable[[ManifestEntry], bool] = is_final,
    ) -> None:
        self.dataset = dataset
        self._settled: dict[bytes, bool] = {}
        self._contents: set[bytes] = set()
        self.unsettled: Counter[str] = Counter()
        for entry in dataset.entries() if dataset else ():
            self._settled[url_key(entry.url)] = settled = is_settled(entry)
            if not settled:
                self.unsettled[entry.status] += 1
            if entry.status == "ok":
                self._contents.add(bytes.fromhex(entry.sha256))

    def is_settled(self, url: str) -> bool:
        """True where the address has its final entry."""
        return self._settled.get(url_key(url), False)

    def has_entry(self, url: str) -> bool:
        """True where the address has an entry, a failed one included."""
        return url_key(url) in self._settled

    def has_content(self, sha256: str) -> bool:
        """True where a shard holds these bytes already."""
        return bool(sha256) and bytes.fromhex(sha256) in self._contents
