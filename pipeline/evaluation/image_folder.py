"""A user's folder of images as a source of real images or of fakes.

All files are read once at first, for their hashes and headers; pixels are decoded a batch at a
time, whenever they are needed, so that a million images take no more memory than their names.
Threads decode: Pillow releases the interpreter lock meanwhile, and processes were no faster
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
from pipeline.features.sources import reference_tag

SCAN_CHUNK = 256  # files of a task
MAX_SIZES = 4  # in an error message

Item = TypeVar("Item")
Result = TypeVar("Result")


class FolderSource:
    """The images of a folder and its subfolders, in the order of their relative paths.

    Hidden files, links to folders and files of other kinds are left out, and counted in
    `ignored`. Grey images, palettes and transparency are read as RGB, which one line on stderr
    reports.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        """Read all files; GanError unless they are two images or more, all of one size."""
        self.folder = folder
        self._workers = workers
        self.files, self.ignored = _list_images(folder)
        if len(self.files) < 2:
            raise _too_few(folder, self.files, self.ignored)
        summary = _Summary(len(self.files))
        with warnings.catch_warnings(action="ignore"), progress(self._title, len(self)) as advance:
            for headers in _in_order(self._read_headers, _slices(len(self), SCAN_CHUNK), workers):
                summary.add(headers)
                advance(summary.count, "")
        self.size = summary.require_one_size(folder, self.files)
        self._sha256 = summary.sha256
        summary.report(folder, self.ignored)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def description(self) -> str:
        """Text for results and messages; no path, which would be of one machine."""
        return f"{len(self)} images of the folder {self._name}"

    @property
    def tag(self) -> str:
        return reference_tag(self._name, self.digest)

    @cached_property
    def digest(self) -> str:
        """Hex sha256 of all files' bytes in order, and of the version of the decoder.

        Of bytes, not of pixels: so nothing needs to be decoded to find features that were computed
        before. Another version of Pillow may decode a JPEG otherwise, and counts as other data.
        """
        whole = hashlib.sha256(f"folder 1, pillow {PIL.__version__}\n".encode())
        whole.update(self._sha256.data)
        return whole.hexdigest()

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield all images as (n, 3, H, W) uint8, and decode the next ones meanwhile.

        GanError if a file is damaged, or changed since the source was made.
        """
        for images in _in_order(self._decode, _slices(len(self), size), self._workers):
            yield torch.from_numpy(images).permute(0, 3, 1, 2)

    def select(self, indices: Sequence[int]) -> Images:
        """Decode the images at these indices, (n, H, W, 3) uint8."""
        return self._decode(indices)

    @property
    def _name(self) -> str:
        return self.folder.resolve().name

    @property
    def _title(self) -> str:
        return f"{self._name}: files"

    def _read_headers(self, indices: Sequence[int]) -> list[Header]:
        return [read_header(self.folder / self.files[index]) for index in indices]

    def _decode(self, indices: Sequence[int]) -> Images:
        images = np.empty((len(indices), *self.size, 3), dtype=np.uint8)
        for image, index in zip(images, indices, strict=True):
            image[:] = read_pixels(self.folder / self.files[index], self._sha256[index].tobytes())
        return images


class _Summary:
    """Hashes, sizes and counts from the headers of a folder's images."""

    def __init__(self, count: int) -> None:
        self.count = self.grey = self.palette = self.alpha = 0
        self.sha256: NDArray[np.uint8] = np.empty((count, 32), dtype=np.uint8)
        self._sizes: dict[tuple[int, int], list[int]] = {}  # count, and index of the first

    def add(self, headers: Iterable[Header]) -> None:
        for header in headers:
            self.sha256[self.count] = np.frombuffer(header.sha256, np.uint8)
            self._sizes.setdefault(header.size, [0, self.count])[0] += 1
            self.grey += header.grey
            self.palette += header.palette
            self.alpha += header.alpha
            self.count += 1

    def require_one_size(self, folder: Path, files: Sequence[str]) -> tuple[int, int]:
        """Return the (height, width) of all; GanError with examples if there are several sizes."""
        if len(self._sizes) == 1:
            return next(iter(self._sizes))
        by_count = sorted(self._sizes.items(), key=lambda item: (-item[1][0], item[1][1]))
        examples = ", ".join(
            f"{count} of {width}x{height} ({files[first]})"
            for (height, width), (count, first) in by_count[:MAX_SIZES]
        )
        more = f" and {len(by_count) - MAX_SIZES} more" if len(by_count) > MAX_SIZES else ""
        raise GanError(
            f"{folder}: images of {len(by_count)} sizes: {examples}{more}; resize all with one "
            "filter, or move the others elsewhere"
        )

    def report(self, folder: Path, ignored: int) -> None:
        """Print one line on stderr about images that aren't RGB and files that are ignored."""
        conversions = (
            (self.grey, "grey and read as RGB"),
            (self.palette, "with a palette and read as RGB"),
            (self.alpha, "with transparency, which is dropped"),
        )
        notes = [f"{number} {text}" for number, text in conversions if number]
        if ignored:
            notes.append(f"{ignored} other or hidden files are ignored")
        if notes:
            say(f"{folder}: {self.count} images: {', '.join(notes)}")


def _list_images(folder: Path) -> tuple[list[str], int]:
    """List relative paths of the images, sorted, and count the other files and links."""
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
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Yield function(item) of each, in order, from threads that work a few items ahead."""
    pool = ThreadPoolExecutor(workers)
    remaining = iter(items)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in itertools.islice(remaining, 2 * workers):
            waiting.append(pool.submit(function, item))
        while waiting:
            result = waiting.popleft().result()
            for item in itertools.islice(remaining, 1):
                waiting.append(pool.submit(function, item))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
