"""A user's folder of images as a source of real images or of fakes.

All files are read once at first, for their hashes and headers; pixels are decoded a batch at a
time, whenever they are needed, so that a million images take no more memory than their names.
Threads decode: Pillow releases the interpreter lock meanwhile, and processes were no faster
(64 px PNGs, two cores), since pixels must come back through a pipe.

Pixels are those of Pillow's `Image.open(file).convert("RGB")`, as pytorch-fid decodes them: the
first frame, not turned by EXIF, colour profiles not applied, alpha dropped (not laid over a
colour).
"""

import hashlib
import itertools
import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from gan.errors import GanError
from gan.features.extractor import read_weights as read_file
from gan.tensor_cache import Images
from pipeline.console import list_first, say, track
from pipeline.features.sources import reference_tag
from pipeline.pictures.formats import FORMATS, HEAD, SUFFIXES, identify, open_image

SCAN_CHUNK = 256  # files of a task
SHA256 = hashlib.sha256().digest_size

MAX_PIXELS = 1 << 24
"""Of one picture: 4096 x 4096. More is a mistake, or a decompression bomb."""

DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
"""Modes of more than 8 bits, which Pillow clips to 255 instead of scaling them."""

Header = tuple[bytes, tuple[int, int], list[str]]
"""Of a file: sha256, (height, width), conversions to RGB, such as `grey and read as RGB`."""

Result = TypeVar("Result")


class FolderSource:
    """The images of a folder and its subfolders, in the order of their relative paths.

    Pictures are recognised by their endings or their content. Hidden files, links to folders and
    files of other kinds are left out, and counted in `ignored`. Grey images, palettes and
    transparency are read as RGB. One line on stderr reports all of this.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        """Read all files; GanError unless they are two images or more, all of one size."""
        self.folder = folder
        self._workers = workers
        self.files, ignored = _list_images(folder)
        self.ignored = ignored.total()
        if len(self.files) < 2:
            problem = "an empty folder; statistics need 2 images"
            if self.files:
                problem = f"one image only ({self.files[0]}); statistics need 2"
            elif self.ignored:
                problem = f"no images among {self.ignored} files ({_name_kinds(ignored)})"
            raise GanError(f"{folder}: {problem}")
        self._digests = bytearray()
        sizes: Counter[tuple[int, int]] = Counter()
        examples: dict[tuple[int, int], str] = {}
        notes: Counter[str] = Counter()
        with warnings.catch_warnings(action="ignore"):
            headers = itertools.chain.from_iterable(self._map(self._read_headers, SCAN_CHUNK))
            tracked = track(headers, f"{self._name}: files", len(self))
            for file, (sha256, size, conversions) in zip(self.files, tracked, strict=True):
                self._digests += sha256
                sizes[size] += 1
                examples.setdefault(size, file)
                notes.update(conversions)
        if len(sizes) > 1:
            found = [f"{n} of {w}x{h} ({examples[h, w]})" for (h, w), n in sizes.most_common()]
            raise GanError(
                f"{folder}: images of {len(sizes)} sizes: {list_first(found)}; resize all with "
                "one filter, or move the others elsewhere"
            )
        (self.size,) = sizes
        if self.ignored:
            notes[f"other or hidden files are ignored ({_name_kinds(ignored)})"] = self.ignored
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


def _list_images(folder: Path) -> tuple[list[str], Counter[str]]:
    """List relative paths of the images, sorted; count by kind the other files and links."""
    if not folder.exists():
        raise GanError(f"{folder}: no such folder")
    if not folder.is_dir():
        raise GanError(f"{folder}: a file; give the folder that its images lie in")
    files: list[str] = []
    ignored: Counter[str] = Counter()
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        below = os.path.relpath(parent, folder)
        for name in folders:
            if name[0] == "." or os.path.islink(f"{parent}/{name}"):
                ignored["hidden or linked folder"] += 1
        folders[:] = [name for name in folders if name[0] != "."]
        for name in names:
            if (kind := _kind_of(f"{parent}/{name}", name)) in FORMATS:
                files.append(os.path.normpath(f"{below}/{name}"))
            else:
                ignored[kind] += 1
    return sorted(files), ignored


def _kind_of(path: str, name: str) -> str:
    """One of FORMATS, by ending or content, or another word for what a file is."""
    ending = os.path.splitext(name)[1].lower()
    if name[0] == ".":
        return "hidden"
    if not os.path.isfile(path):
        return "no file"
    if ending in SUFFIXES:
        return next(iter(FORMATS))  # an ending tells that it is meant to be a picture
    with suppress(OSError), open(path, "rb") as stream:
        return identify(stream.read(HEAD)) or ending or "unknown"
    return "unreadable"


def _name_kinds(kinds: Counter[str]) -> str:
    return list_first([f"{count} {kind}" for kind, count in kinds.most_common()])


def _refuse(error: OSError) -> None:
    raise GanError(f"{error.filename}: cannot be read: {error.strerror}") from None


def read_header(path: Path) -> Header:
    """Read a file and parse its header; GanError if it can't be used."""
    data = read_file(path)
    with _open_picture(path, data) as image:
        width, height = image.size
        mode, bands = image.mode, image.getbands()
        alpha = "transparency" in image.info or bands[-1].upper() == "A"
    if mode in DEEP_MODES:
        raise GanError(f"{path}: samples of more than 8 bits ({mode}); save it with 8 bits each")
    conversions = {
        "grey and read as RGB": mode in ("1", "L", "LA", "La"),
        "with a palette and read as RGB": bands[0] == "P",
        "with transparency, which is dropped": alpha,
    }
    applied = [text for text, true in conversions.items() if true]
    return hashlib.sha256(data).digest(), (height, width), applied


def read_pixels(path: Path, sha256: bytes) -> Images:
    """Decode a file to (H, W, 3); GanError if it is damaged, or no longer has that sha256."""
    data = read_file(path)
    if hashlib.sha256(data).digest() != sha256:
        raise GanError(f"{path}: changed while it was evaluated; run again when it is complete")
    with _open_picture(path, data) as image:
        image.load()
        image.info.pop("transparency", None)  # else convert warns; it does not change the pixels
        return np.asarray(image.convert("RGB"))


@contextmanager
def _open_picture(path: Path, data: bytes) -> Iterator[Image.Image]:
    """Open a picture, reading its header only; any error in the block becomes a GanError."""
    large = f"more than {MAX_PIXELS}; resize it or remove it"
    try:
        with open_image(data) as image:
            if image.width * image.height > MAX_PIXELS:
                raise GanError(f"{path}: {image.width}x{image.height} pixels, {large}")
            yield image
    except (GanError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise GanError(f"{path}: many pixels, {large}") from None
    except UnidentifiedImageError:
        raise GanError(
            f"{path}: not a picture in {', '.join(FORMATS)}, or damaged; save it anew or remove it"
        ) from None
    except Exception as error:
        # Pillow's plugins raise nearly anything on damaged files: struct.error, SyntaxError, ...
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise GanError(f"{path}: damaged picture ({reason}); save it anew or remove it") from None
