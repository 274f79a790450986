"""A user's folder of images as a source of real or generated ones.

All files are read once at first, for their hashes and headers; pixels are decoded each time they
are asked for, a batch at a time, so that a million images take no more room than their names.
Threads decode: Pillow lets go of the interpreter while it does, and processes were no faster
(64 px PNGs, two cores), since pixels must come back through a pipe.
"""

import hashlib
import itertools
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan.errors import GanError
from gan.tensor_cache import Images
from pipeline.console import progress, say
from pipeline.evaluation.picture_file import EXTENSIONS, Header, read_header, read_pixels
from pipeline.features.naming import tag_of

SCANNED_AT_ONCE = 256  # files a task
SHOWN_SIZES = 4  # of those that a folder of mixed sizes has

Given = TypeVar("Given")
Made = TypeVar("Made")


class FolderSource:
    """The images of a folder and its subfolders, in the order of their relative paths.

    Hidden files, links to folders and files of other kinds are left out, and counted in
    `ignored`. Grey images, palettes and transparency are read as RGB, and told of on stderr.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        """Read all files; GanError if two images of one size are not to be had from them."""
        self.folder = folder
        self._workers = workers
        self.files, self.ignored = _listed(folder)
        if len(self.files) < 2:
            raise _too_few(folder, self.files, self.ignored)
        seen = _Seen(len(self.files))
        with warnings.catch_warnings(action="ignore"), progress(self._title, len(self)) as advance:
            for headers in _in_order(self._headers, _slices(len(self), SCANNED_AT_ONCE), workers):
                seen.add(headers)
                advance(seen.count, "")
        self.size = seen.only_size(folder, self.files)
        self._sha256 = seen.sha256
        seen.tell(folder, self.ignored)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def what(self) -> str:
        """For a reader; no path, which would be of one machine."""
        return f"{len(self)} images of the folder {self._name}"

    @property
    def tag(self) -> str:
        return tag_of(self._name, self.digest)

    @cached_property
    def digest(self) -> str:
        """Hex sha256 of all files' bytes in order, and of what decodes them.

        Of bytes, not of pixels: so nothing needs to be decoded to find features that are there
        already. Another version of Pillow may decode a JPEG otherwise, and counts as other data.
        """
        whole = hashlib.sha256(f"folder 1, pillow {PIL.__version__}\n".encode())
        whole.update(self._sha256.data)
        return whole.hexdigest()

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield all images as (n, 3, H, W) uint8; the next ones are decoded meanwhile.

        GanError if a file is damaged, or changed since the source was made.
        """
        for images in _in_order(self._decoded, _slices(len(self), size), self._workers):
            yield torch.from_numpy(images).permute(0, 3, 1, 2)

    def rows(self, indices: Sequence[int]) -> Images:
        """The images (n, H, W, 3) uint8 at these places."""
        return self._decoded(indices)

    @property
    def _name(self) -> str:
        return self.folder.resolve().name

    @property
    def _title(self) -> str:
        return f"{self._name}: files"

    def _headers(self, indices: Sequence[int]) -> list[Header]:
        return [read_header(self.folder / self.files[index]) for index in indices]

    def _decoded(self, indices: Sequence[int]) -> Images:
        images = np.empty((len(indices), *self.size, 3), dtype=np.uint8)
        for row, index in zip(images, indices, strict=True):
            row[:] = read_pixels(self.folder / self.files[index], self._sha256[index].tobytes())
        return images


class _Seen:
    """What the headers of a folder's images add up to."""

    def __init__(self, count: int) -> None:
        self.count = self.grey = self.palette = self.alpha = 0
        self.sha256: NDArray[np.uint8] = np.empty((count, 32), dtype=np.uint8)
        self._sizes: dict[tuple[int, int], list[int]] = {}  # how many, and the first of them

    def add(self, headers: Iterable[Header]) -> None:
        for header in headers:
            self.sha256[self.count] = np.frombuffer(header.sha256, np.uint8)
            self._sizes.setdefault(header.size, [0, self.count])[0] += 1
            self.grey += header.grey
            self.palette += header.palette
            self.alpha += header.alpha
            self.count += 1

    def only_size(self, folder: Path, files: Sequence[str]) -> tuple[int, int]:
        """(height, width) of all; GanError with examples if there are several sizes."""
        if len(self._sizes) == 1:
            return next(iter(self._sizes))
        by_count = sorted(self._sizes.items(), key=lambda item: (-item[1][0], item[1][1]))
        shown = ", ".join(
            f"{count} of {width}x{height} ({files[first]})"
            for (height, width), (count, first) in by_count[:SHOWN_SIZES]
        )
        more = f" and {len(by_count) - SHOWN_SIZES} more" if len(by_count) > SHOWN_SIZES else ""
        raise GanError(
            f"{folder}: images of {len(by_count)} sizes: {shown}{more}; make them one size, all "
            "with the same filter, or put the others elsewhere"
        )

    def tell(self, folder: Path, ignored: int) -> None:
        """Tell on stderr what is not as it seems, once."""
        found = (
            (self.grey, "grey and read as RGB"),
            (self.palette, "with a palette and read as RGB"),
            (self.alpha, "with transparency, which is dropped"),
        )
        notes = [f"{number} {what}" for number, what in found if number]
        if ignored:
            notes.append(f"{ignored} other or hidden files are ignored")
        if notes:
            say(f"{folder}: {self.count} images: {', '.join(notes)}")


def _listed(folder: Path) -> tuple[list[str], int]:
    """Sorted relative paths of the images, and how many other entries there are."""
    if not folder.exists():
        raise GanError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise GanError(f"{folder}: a file; give the folder that its images lie in")
    files: list[str] = []
    ignored, waiting = 0, [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(folder / below) as entries:
                for entry in entries:
                    if _is_folder(entry):
                        waiting.append(f"{below}{entry.name}/")
                    elif _is_image(entry):
                        files.append(below + entry.name)
                    else:
                        ignored += 1
        except OSError as error:
            raise GanError(f"{folder / below}: cannot be read: {error.strerror}") from None
    return sorted(files), ignored


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    return entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")


def _is_image(entry: "os.DirEntry[str]") -> bool:
    extension = entry.name.rpartition(".")[2].lower()
    return not entry.name.startswith(".") and extension in EXTENSIONS and entry.is_file()


def _too_few(folder: Path, files: Sequence[str], ignored: int) -> GanError:
    if files:
        return GanError(f"{folder}: one image only ({files[0]}); statistics need 2")
    if ignored:
        return GanError(f"{folder}: no images among {ignored} files; give a folder of PNG or JPEG")
    return GanError(f"{folder}: an empty folder; statistics need 2 images")


def _slices(count: int, size: int) -> Iterator[range]:
    return (range(start, min(start + size, count)) for start in range(0, count, size))


def _in_order(
    work: Callable[[Given], Made], items: Iterable[Given], workers: int
) -> Iterator[Made]:
    """Yield work(item) of each, made by threads; no more than one a thread lies ready."""
    pool = ThreadPoolExecutor(workers)
    remaining = iter(items)
    waiting: deque[Future[Made]] = deque()
    try:
        for item in itertools.islice(remaining, 2 * workers):
            waiting.append(pool.submit(work, item))
        while waiting:
            made = waiting.popleft().result()
            for item in itertools.islice(remaining, 1):
                waiting.append(pool.submit(work, item))
            yield made
    finally:
        pool.shutdown(cancel_futures=True)
