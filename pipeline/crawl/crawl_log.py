"""The log beside a dataset: when and from where each answer came, which no dataset may hold."""

import json
import time
from pathlib import Path

from pipeline.crawl.sink import Trace
from pipeline.dataset.manifest import ManifestEntry


class CrawlLog:
    """Appends one JSON line for each row: time (UTC), address, where redirects led, outcome."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._stream = path.open("a", encoding="utf-8", buffering=1)

    def write(self, row: ManifestEntry, trace: Trace) -> None:
        """Note what became of an image; a full disk stops the crawl elsewhere, not here."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "url": row.url,
            "status": row.status,
            "reason": row.reason,
            "sha256": row.sha256,
            "final_url": trace.url if trace.url != row.url else "",
            "address": trace.address,
            "http": trace.http,
            "seconds": trace.seconds,
        }
        self._stream.write(json.dumps(line, separators=(",", ":")) + "\n")

    def close(self) -> None:
        self._stream.close()
