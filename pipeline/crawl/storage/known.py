"""Which images a dataset already holds, in little memory: a few dozen bytes a row."""

import hashlib

from pipeline.dataset.reader import Dataset


def url_key(url: str) -> bytes:
    """16 bytes that stand for an address."""
    return hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Known:
    """Addresses and contents of the older dataset that a crawl builds on, if there is one."""

    def __init__(self, dataset: Dataset | None = None) -> None:
        self.dataset = dataset
        self._settled: dict[bytes, bool] = {}
        self._contents: set[bytes] = set()
        for row in dataset.entries() if dataset else ():
            self._settled[url_key(row.url)] = row.status != "failed"
            if row.status == "ok":
                self._contents.add(bytes.fromhex(row.sha256))

    def is_settled(self, url: str) -> bool:
        """True where the address has its final row; a failed one is to be tried again."""
        return self._settled.get(url_key(url), False)

    def has_row(self, url: str) -> bool:
        return url_key(url) in self._settled

    def has_content(self, sha256: str) -> bool:
        """True where a shard holds these bytes already."""
        return bool(sha256) and bytes.fromhex(sha256) in self._contents
