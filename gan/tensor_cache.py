"""The tensor cache on disk: its format, opening, verification and digest.

A cache is a folder with `images.npy` (N,H,W,3 uint8; the train split, then the hold-out),
`index.parquet` (the manifest entry of each image), `meta.json` (settings, counts, digest) and,
where attributes are known, `labels.npy` (N,A int8). Images and labels are memory-mapped, so only
pages that are read are loaded.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from gan.attributes import Labels, Vocabulary, from_json, labels_digest
from gan.errors import GanError

Split = Literal["train", "holdout"]
Images = NDArray[np.uint8]

FORMAT = 2
LABELS = "labels.npy"
BYTES_PER_READ = 1 << 26


def pixel_digests(images: Images) -> NDArray[np.uint8]:
    """sha256 of each image of a C-ordered (n,H,W,3) array, as (n,32) uint8."""
    digests = b"".join(hashlib.sha256(image.data).digest() for image in np.asarray(images))
    return np.frombuffer(digests, np.uint8).reshape(len(images), 32)


def cache_digest(
    pixels: NDArray[np.uint8], settings: Mapping[str, Any], counts: Mapping[str, int]
) -> str:
    """Digest (64 hex digits) of a cache: its `pixel_digests` in order, settings and counts.

    A digest of digests, since the images are hashed where they are decoded, on all cores.
    """
    meta = {"counts": dict(counts), "settings": dict(settings)}
    digest = hashlib.sha256(np.ascontiguousarray(pixels).data)
    digest.update(json.dumps(meta, sort_keys=True).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class TensorCache:
    """A complete cache, opened read-only; images and labels are memory maps, so this is cheap.

    `labels` has a row for each image and a column for each attribute of `vocabulary`, which has
    none in an earlier cache, or where no tags say enough.
    """

    folder: Path
    images: "np.memmap[Any, np.dtype[np.uint8]]"
    meta: dict[str, Any]
    labels: Labels
    vocabulary: Vocabulary

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the cache in `folder`; GanError if it is absent, damaged or incomplete."""
        if not folder.is_dir():
            raise GanError(f"{folder}: no tensor cache; run `gan preprocess`")
        name = "meta.json"
        try:
            meta = json.loads((folder / name).read_text(encoding="utf-8"))
            size, counts = meta["settings"]["size"], meta["counts"]
            expected = (counts["train"] + counts["holdout"], size, size, 3)
            if meta["format"] != FORMAT or not isinstance(meta["digest"], str):
                raise damage_error(folder, f"{name} is of another version")
            name = "images.npy"
            images = np.load(folder / name, mmap_mode="r", allow_pickle=False)
            length = (folder / name).stat().st_size
        except FileNotFoundError:
            raise damage_error(folder, f"{name} is missing") from None
        except KeyError as error:
            raise damage_error(folder, f"{name} lacks the key {error}") from None
        except (OSError, ValueError, TypeError, EOFError) as error:
            raise damage_error(folder, f"{name} cannot be read ({type(error).__name__})") from None
        if not isinstance(images, np.memmap) or images.dtype != np.uint8:
            raise damage_error(folder, "images.npy is not an array of uint8")
        if not images.flags.c_contiguous or length != images.offset + images.nbytes:
            raise damage_error(folder, "images.npy does not have the length that its header says")
        if images.shape != expected:
            raise damage_error(
                folder, f"images.npy holds {images.shape}, meta.json says {expected}"
            )
        return cls(folder, images, meta, *_open_labels(folder, meta, len(images)))

    @property
    def digest(self) -> str:
        """Digest of pixels, settings and counts: equal caches have equal digests."""
        return str(self.meta["digest"])

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return int(self.images.shape[1])

    def split(self, name: Split) -> Images:
        """View of one split's images (n,H,W,3)."""
        train = self.meta["counts"]["train"]
        return self.images[:train] if name == "train" else self.images[train:]

    def split_labels(self, name: Split) -> Labels:
        """View of one split's labels (n,A)."""
        train = self.meta["counts"]["train"]
        return self.labels[:train] if name == "train" else self.labels[train:]

    def iter_pixel_digests(self) -> Iterator[NDArray[np.uint8]]:
        """Read all images, some at a time, and yield the `pixel_digests` of each part."""
        count = max(1, BYTES_PER_READ // self.images[0].nbytes)
        for start in range(0, len(self.images), count):
            yield pixel_digests(self.images[start : start + count])

    def verify(self) -> None:
        """Read all images and labels and compare with their digests; GanError if one differs."""
        self.verify_labels()
        pixels = np.concatenate(list(self.iter_pixel_digests()))
        if cache_digest(pixels, self.meta["settings"], self.meta["counts"]) != self.digest:
            raise damage_error(self.folder, "the pixels do not match the digest")

    def verify_labels(self) -> None:
        """Compare the labels with their digest; GanError if it differs."""
        if self.vocabulary:
            digest = labels_digest(self.labels, self.vocabulary)
            if digest != self.meta["attributes"]["digest"]:
                raise damage_error(self.folder, f"{LABELS}: other labels than were written")


def _open_labels(folder: Path, meta: Mapping[str, Any], count: int) -> tuple[Labels, Vocabulary]:
    try:
        vocabulary = from_json(meta.get("attributes", {}).get("vocabulary", []))
        if not vocabulary:
            return np.empty((count, 0), np.int8), ()
        labels = np.load(folder / LABELS, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise damage_error(folder, f"{LABELS} is missing") from None
    except GanError as error:
        raise damage_error(folder, f"meta.json: {error}") from None
    except (OSError, ValueError, TypeError, EOFError, AttributeError) as error:
        raise damage_error(folder, f"{LABELS} cannot be read ({type(error).__name__})") from None
    if labels.dtype != np.int8 or labels.shape != (count, len(vocabulary)):
        expected = f"({count}, {len(vocabulary)}) of int8"
        raise damage_error(folder, f"{LABELS} holds {labels.shape}, meta.json says {expected}")
    return labels, vocabulary


def damage_error(folder: Path, problem: str) -> GanError:
    """The error of a damaged cache, with its fix."""
    return GanError(
        f"{folder}: damaged cache: {problem}; restore it with `dvc checkout --force {folder}`, "
        "or rebuild it with `gan preprocess`"
    )
