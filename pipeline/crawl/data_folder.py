"""The places of data/: where it stands, what waits beside it, and what is kept of an old one."""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan.errors import GanError
from pipeline.console import say, warn
from pipeline.crawl.data_pin import Pin, directory_md5
from pipeline.crawl.options import is_embedded
from pipeline.crawl.storage.writer import discard, recover
from pipeline.dataset.layout import DESCRIPTION
from pipeline.dataset.reader import Dataset
from pipeline.paths import Paths

REPLACED = "replaced"


@dataclass(frozen=True)
class Shelf:
    """data/ of one checkout, with data.staging/ and data.old/ beside it."""

    paths: Paths
    pin: Pin

    @property
    def staging(self) -> Path:
        return self.paths.root / "data.staging"

    @property
    def replaced(self) -> Path:
        """Where the old data/ waits until the new one stands."""
        return self.staging / REPLACED

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold data/ for this process; GanError while another one does, or if data/ is a link."""
        if self.paths.data.is_symlink():
            raise GanError(f"{self.paths.data}: is a link; put the folder itself here")
        path = self.paths.logs / "scrape" / "lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise GanError(
                    f"{self.paths.root}: another `gan scrape` is at work here"
                ) from None
            yield

    def tidy(self, whole: Dataset | None = None) -> None:
        """After a new data/ stands, remove the old one; kept where nothing else has it.

        `whole` is what stands in data/, where every byte of it was checked or written just now.
        """
        recover(self.paths.data, self.replaced)
        if not self.replaced.exists():
            return
        if self._is_redundant(whole):
            shutil.rmtree(self.replaced)
        else:
            kept = self._free_place(directory_md5(self.replaced)[:12])
            self.replaced.rename(kept)
            warn(f"the old data/ is not in DVC's cache; it is kept in {kept}")
        self.remove_if_empty()

    def restore(self) -> bool:
        """True where DVC brought the pinned data/ back; otherwise data/ is as it was before."""
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

    def forget(self, *crawls: Path) -> None:
        """Remove finished crawls; say what else lies unfinished."""
        for folder in crawls:
            discard(folder)
        self.remove_if_empty()
        left = sorted(self.staging.iterdir()) if self.staging.is_dir() else []
        if left:
            size = sum(each.stat().st_size for folder in left for each in folder.rglob("*"))
            names = ", ".join(folder.name for folder in left)
            say(
                f"{self.staging.name}/ holds other unfinished crawls, {size / 1e6:.1f} MB: {names}"
            )

    def remove_if_empty(self) -> None:
        with suppress(OSError):
            self.staging.rmdir()

    def _is_redundant(self, new: Dataset | None) -> bool:
        """True where the old data/ can be drawn again, or stands elsewhere byte for byte."""
        if _is_worthless(self.replaced):
            return True
        if new is None:
            new, _ = open_whole(self.paths.data)
        if new is not None and _described(self.replaced).get("digest") == new.digest:
            return True
        old, _ = open_whole(self.replaced)
        if old is None:
            return False
        if new is not None and old.shards.items() <= new.shards.items():
            return True
        return self.pin.holds(directory_md5(self.replaced))

    def _free_place(self, name: str) -> Path:
        """A folder in data.old/ that isn't there yet."""
        kept = self.paths.root / "data.old"
        kept.mkdir(exist_ok=True)
        taken = {path.name for path in kept.iterdir()}
        number = next(n for n in range(len(taken) + 1) if _numbered(name, n) not in taken)
        return kept / _numbered(name, number)


def open_whole(folder: Path) -> tuple[Dataset | None, str]:
    """A dataset whose every byte was checked, or None and why there is none."""
    try:
        dataset = Dataset.open(folder)
        dataset.verify()
    except GanError as error:
        return None, str(error)
    return dataset, ""


def holds_pictures(folder: Path) -> bool:
    """True where a damaged data/ has something that only a new crawl could bring."""
    return folder.exists() and not _is_worthless(folder)


def _is_worthless(folder: Path) -> bool:
    """True where a data/, damaged perhaps, holds no picture, or drawn ones only."""
    source = _described(folder).get("source")
    drawn = isinstance(source, dict) and is_embedded(source)
    return drawn or not any(folder.glob("*.tar"))


def _described(folder: Path) -> dict[str, Any]:
    """What a perhaps damaged dataset says of itself."""
    try:
        values = json.loads((folder / DESCRIPTION).read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _numbered(name: str, number: int) -> str:
    return f"{name}-{number}" if number else name
