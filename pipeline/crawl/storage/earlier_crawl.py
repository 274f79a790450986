"""The images that an earlier crawl settled, in little memory: a few dozen bytes an entry."""

import hashlib

from pipeline.dataset.reader import Dataset


def url_key(url: str) -> bytes:
    """16 bytes that stand for an address."""
    return hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class EarlierCrawl:
    """Addresses and contents of the dataset that a crawl adds to; empty without one."""

    def __init__(self, dataset: Dataset | None = None) -> None:
        self.dataset = dataset
        self._settled: dict[bytes, bool] = {}
        self._contents: set[bytes] = set()
        for entry in dataset.entries() if dataset else ():
            self._settled[url_key(entry.url)] = entry.status != "failed"
            if entry.status == "ok":
                self._contents.add(bytes.fromhex(entry.sha256))

    def is_settled(self, url: str) -> bool:
        """True where the address has its final entry; a failed one is tried again."""
        return self._settled.get(url_key(url), False)

    def has_entry(self, url: str) -> bool:
        """True where the address has an entry, a failed one included."""
        return url_key(url) in self._settled

    def has_content(self, sha256: str) -> bool:
        """True where a shard holds these bytes already."""
        return bool(sha256) and bytes.fromhex(sha256) in self._contents
