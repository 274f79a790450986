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
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
import torch
from torch import Tensor

from gan.errors import GanError
from gan.tensor_cache import Images
from pipeline.console import list_first, say, track
from pipeline.evaluation.picture_file import EXTENSIONS, Header, read_header, read_pixels
from pipeline.features.sources import reference_tag

SCAN_CHUNK = 256  # files of a task
SHA256 = hashlib.sha256().digest_size

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
        self._digests = bytearray()
        sizes: Counter[tuple[int, int]] = Counter()
        examples: dict[tuple[int, int], str] = {}
        notes: Counter[str] = Counter()
        with warnings.catch_warnings(action="ignore"):
            headers = itertools.chain.from_iterable(self._map(self._read_headers, SCAN_CHUNK))
            tracked = track(headers, f"{self._name}: files", len(self))
            for file, header in zip(self.files, tracked, strict=True):
                self._digests += header.sha256
                sizes[header.size] += 1
                examples.setdefault(header.size, file)
                notes.update(header.conversions)
        if len(sizes) > 1:
            found = [f"{n} of {w}x{h} ({examples[h, w]})" for (h, w), n in sizes.most_common()]
            raise GanError(
                f"{folder}: images of {len(sizes)} sizes: {list_first(found)}; resize all with "
                "one filter, or move the others elsewhere"
            )
        (self.size,) = sizes
        if self.ignored:
            notes["other or hidden files are ignored"] = self.ignored
        if notes:
            texts = ", ".join(f"{number} {text}" for text, number in notes.items())
            say(f"{folder}: {len(self)} images: {texts}")

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
        whole.update(self._digests)
        return whole.hexdigest()

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield all images as (n, 3, H, W) uint8, and decode the next ones meanwhile.

        GanError if a file is damaged, or changed since the source was made.
        """
        for images in self._map(self.select, size):
            yield torch.from_numpy(images).permute(0, 3, 1, 2)

    def select(self, indices: Sequence[int]) -> Images:
        """Decode the images at these indices, (n, H, W, 3) uint8."""
        images = np.empty((len(indices), *self.size, 3), dtype=np.uint8)
        for image, index in zip(images, indices, strict=True):
            sha256 = bytes(self._digests[index * SHA256 : (index + 1) * SHA256])
            image[:] = read_pixels(self.folder / self.files[index], sha256)
        return images

    @property
    def _name(self) -> str:
        return self.folder.resolve().name

    def _read_headers(self, indices: Sequence[int]) -> list[Header]:
        return [read_header(self.folder / self.files[index]) for index in indices]

    def _map(self, function: Callable[[Sequence[int]], Result], size: int) -> Iterator[Result]:
        """Yield function(indices) of all images, `size` at once, in order.

        Threads work a few parts ahead; ThreadPoolExecutor.map would read all of them ahead.
        """
        count = len(self)
        parts = (range(start, min(start + size, count)) for start in range(0, count, size))
        pool = ThreadPoolExecutor(self._workers)
        waiting: deque[Future[Result]] = deque()
        try:
            for part in parts:
                waiting.append(pool.submit(function, part))
                if len(waiting) > 2 * self._workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


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
                    hidden = entry.name.startswith(".")
                    extension = os.path.splitext(entry.name)[1].lower()
                    if entry.is_dir(follow_symlinks=False) and not hidden:
                        waiting.append(f"{below}{entry.name}/")
                    elif not hidden and extension in EXTENSIONS and entry.is_file():
                        files.append(below + entry.name)
                    else:
                        ignored += 1
        except OSError as error:
            raise GanError(f"{folder / below}: cannot be read: {error.strerror}") from None
    return sorted(files), ignored


def _too_few(folder: Path, files: Sequence[str], ignored: int) -> GanError:
    if files:
        return GanError(f"{folder}: one image only ({files[0]}); statistics need 2")
    if ignored:
        return GanError(f"{folder}: no images among {ignored} files; give a folder of PNG or JPEG")
    return GanError(f"{folder}: an empty folder; statistics need 2 images")
