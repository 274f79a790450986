"""data/ of a checkout: its lock, its pin, its replacement, and unfinished crawls beside it."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from gan.atomic import write_atomically
from gan.errors import GanError
from pipeline.console import say, warn
from pipeline.crawl.storage.writer import discard, recover
from pipeline.dataset.dvc_cache import DvcCache, directory_md5, run_dvc
from pipeline.dataset.layout import DESCRIPTION
from pipeline.dataset.reader import Dataset
from pipeline.dataset.source_file import is_embedded
from pipeline.paths import Paths

COMMIT = "commit it with source.yaml, reports/data_card.md and reports/data_card.json"

SKELETON = """\
deps:
- path: data.ok
- path: source.yaml
outs:
- path: data
"""
"""data.dvc before anything is pinned. Never fewer than two deps: with one dep and one out DVC
takes it for an import, and `dvc repro` overwrites data/ with a copy of the dep."""


@dataclass(frozen=True)
class DataFolder:
    """data/ of one checkout, with data.staging/, data.old/ and data.dvc beside it."""

    paths: Paths

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

    @property
    def _in_dvc(self) -> bool:
        return (self.paths.root / ".dvc").is_dir()

    @property
    def pinned_md5(self) -> str:
        """The directory md5 that data.dvc pins, like 'ab12….dir'; empty where it pins nothing.

        Raises GanError where data.dvc can't be read.
        """
        try:
            values = yaml.safe_load(self.paths.pin.read_text(encoding="utf-8"))
            return str(values["outs"][0].get("md5", ""))
        except FileNotFoundError:
            return ""
        except (yaml.YAMLError, ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise GanError(f"{self.paths.pin}: not a .dvc file; `git checkout` it") from None

    def restore(self) -> bool:
        """Check the pinned data/ out of DVC's cache, else pull it.

        False, and data/ as it was, where neither has it or data/ is as pinned.
        """
        data, pinned = self.paths.data, self.pinned_md5
        if not (self._in_dvc and pinned) or (data.is_dir() and directory_md5(data) == pinned):
            return False
        self.staging.mkdir(exist_ok=True)
        if data.exists():
            data.rename(self.replaced)
        for verb in ("checkout", "pull"):
            if run_dvc(self.paths.root, verb, "data.dvc").returncode == 0:
                say("data/ restored from DVC")
                return True
        shutil.rmtree(data, ignore_errors=True)
        recover(data, self.replaced)
        return False

    def check_pin(self) -> None:
        """GanError, before a crawl and not after it, where `renew_pin` would fail.

        That is where data.dvc can't be read, or DVC can't open the repository.
        """
        if not self._in_dvc:
            return
        _ = self.pinned_md5
        done = run_dvc(self.paths.root, "check-ignore", self.paths.pin.name)
        if done.returncode not in (0, 1):  # ignored or not
            problem = _last_line(done)
            git = "`git init && git add -A && git commit -m start`, or clone the repository"
            advice = f"; DVC needs Git: {git}" if "git repository" in problem else ""
            raise GanError(f"DVC cannot pin data/: {problem}{advice}")

    def renew_pin(self) -> None:
        """Pin data/ as it is now, and say what to commit; nothing where there is no DVC.

        By `dvc commit`, which also fills DVC's cache: `dvc add` would leave the md5s of the deps
        as they were. Raises GanError with DVC's last line.
        """
        if not self._in_dvc:
            return
        before, pin = self.pinned_md5, self.paths.pin
        if not pin.exists() or "deps:" not in pin.read_text(encoding="utf-8"):
            write_atomically(pin, SKELETON)
        done = run_dvc(self.paths.root, "commit", "--force", "data.dvc")
        if done.returncode != 0:
            raise GanError(f"`dvc commit data.dvc` failed: {_last_line(done)}")
        if before != self.pinned_md5:
            say(f"data.dvc: {before or 'nothing'} -> {self.pinned_md5}; {COMMIT}")

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
        cache = DvcCache(self.paths.root)
        return covered or bool(cache.list_files(directory_md5(self.replaced)))


def _last_line(done: "subprocess.CompletedProcess[str]") -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no message"]
    return lines[-1].removeprefix("ERROR: ")


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
