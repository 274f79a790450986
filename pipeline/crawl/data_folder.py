"""data/ of a checkout: its lock, its replacement, and the unfinished crawls beside it."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gan.atomic import write_atomically
from gan.errors import GanError
from pipeline.console import say, warn
from pipeline.crawl.data_pin import DataPin
from pipeline.crawl.storage.writer import discard, recover
from pipeline.dataset.dvc_md5 import directory_md5
from pipeline.dataset.layout import DESCRIPTION
from pipeline.dataset.reader import Dataset
from pipeline.dataset.source_file import is_embedded
from pipeline.paths import Paths


@dataclass(frozen=True)
class DataFolder:
    """data/ of one checkout, with data.staging/ and data.old/ beside it."""

    paths: Paths

    @cached_property
    def pin(self) -> DataPin:
        return DataPin(self.paths)

    @property
    def staging(self) -> Path:
        """The folder of unfinished crawls."""
        return self.paths.root / "data.staging"

    @property
    def replaced(self) -> Path:
        """The old data/ while the new one takes its place."""
        return self.staging / "replaced"

    def crawl_folder(self, identity: dict[str, Any], replace: bool = False) -> Path:
        """Where the unfinished crawl of a source lies, so that two sources never share one."""
        text = json.dumps([identity, replace], sort_keys=True, default=str)
        return self.staging / hashlib.sha256(text.encode()).hexdigest()[:12]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold data/ for this process; GanError while another one does, or if data/ is a link."""
        if self.paths.data.is_symlink():
            raise GanError(f"{self.paths.data}: is a link; put the folder itself there")
        path = self.paths.logs / "scrape" / "lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(path, timeout=0, thread_local=False).acquire()
        except Timeout:
            raise GanError(
                f"{self.paths.root}: another `gan scrape` is at work here; wait for its end"
            ) from None
        with held:
            yield

    def finish_replacement(self, verified: Dataset | None = None) -> None:
        """Remove the old data/ once a new one stands; move it to data.old/ if nothing else has it.

        `verified` is the dataset in data/ if every byte of it was just checked or written.
        """
        recover(self.paths.data, self.replaced)
        if not self.replaced.exists():
            return
        if not self._is_redundant(verified):
            kept = self.paths.root / "data.old" / directory_md5(self.replaced)[:12]
            kept.parent.mkdir(exist_ok=True)
            if not kept.exists():
                self.replaced.rename(kept)
            warn(f"the old data/ is not in DVC's cache; it is kept in {kept}")
        shutil.rmtree(self.replaced, ignore_errors=True)
        self._remove_empty_staging()

    def restore(self) -> bool:
        """Bring the pinned data/ back by DVC; False, and data/ as it was, where DVC hasn't it."""
        data = self.paths.data
        if data.is_dir() and directory_md5(data) == self.pin.md5:
            return False
        self.staging.mkdir(exist_ok=True)
        if data.exists():
            data.rename(self.replaced)
        if self.pin.restore():
            say("data/ restored from DVC")
            return True
        shutil.rmtree(data, ignore_errors=True)
        recover(data, self.replaced)
        return False

    def write_receipt(self, dataset: Dataset) -> None:
        """Write data.ok, the output of the stage."""
        values = {"digest": dataset.digest, "source": dataset.source}
        write_atomically(self.paths.receipt, json.dumps(values, indent=2) + "\n")

    def discard_crawls(self, identity: dict[str, Any]) -> None:
        """Remove the finished crawls of a source; say which others are unfinished."""
        for replace in (False, True):
            discard(self.crawl_folder(identity, replace))
        self._remove_empty_staging()
        if self.staging.is_dir():
            size = sum(each.stat().st_size for each in self.staging.rglob("*"))
            names = ", ".join(sorted(folder.name for folder in self.staging.iterdir()))
            say(
                f"{self.staging.name}/ holds other unfinished crawls, {size / 1e6:.1f} MB: {names}"
            )

    def _remove_empty_staging(self) -> None:
        with suppress(OSError):
            self.staging.rmdir()

    def _is_redundant(self, new: Dataset | None) -> bool:
        """True where the old data/ can be drawn again, or its every byte is also elsewhere."""
        if not holds_crawled_images(self.replaced):
            return True
        new = new or open_verified(self.paths.data)[0]
        if new is not None and _read_description(self.replaced).get("digest") == new.digest:
            return True
        old, _ = open_verified(self.replaced)
        if old is None:
            return False
        covered = new is not None and old.shards.items() <= new.shards.items()
        return covered or self.pin.holds(directory_md5(self.replaced))


def open_verified(folder: Path) -> tuple[Dataset | None, str]:
    """The dataset in `folder`, every byte checked; or None and the error that it has."""
    try:
        dataset = Dataset.open(folder)
        dataset.verify()
    except GanError as error:
        return None, str(error)
    return dataset, ""


def holds_crawled_images(folder: Path) -> bool:
    """True where `folder`, perhaps damaged, has images that only another crawl could bring."""
    source = _read_description(folder).get("source")
    drawn = isinstance(source, dict) and is_embedded(source)
    return not drawn and any(folder.glob("*.tar"))


def _read_description(folder: Path) -> dict[str, Any]:
    """The content of snapshot.json; empty where it is absent or damaged."""
    try:
        values = json.loads((folder / DESCRIPTION).read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
