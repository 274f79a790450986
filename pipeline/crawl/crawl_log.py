"""The log of a crawl: time and address of each answer, which must not be in the dataset."""

import json
import time
from pathlib import Path

from pipeline.crawl.sink import FetchTrace
from pipeline.dataset.manifest import ManifestEntry


class CrawlLog:
    """Appends a JSON line for each entry: time (UTC), address, end of redirects, outcome."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._stream = path.open("a", encoding="utf-8", buffering=1)

    def write(self, entry: ManifestEntry, trace: FetchTrace) -> None:
        """Append a line about the outcome of one image."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "url": entry.url,
            "status": entry.status,
            "reason": entry.reason,
            "sha256": entry.sha256,
            "final_url": trace.url if trace.url != entry.url else "",
            "address": trace.address,
            "http": trace.http,
            "seconds": trace.seconds,
        }
        self._stream.write(json.dumps(line, separators=(",", ":")) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
