"""Checks of fetched bytes: a whole picture within the limits, kept as it is, or a reason."""

import hashlib
import re
from dataclasses import dataclass, replace

from PIL import Image, UnidentifiedImageError

from pipeline.dataset.manifest import ManifestEntry, Status
from pipeline.pictures.formats import HEAD, identify, open_image


@dataclass(frozen=True)
class PictureLimits:
    """The largest file (bytes) and the largest picture (pixels) that is kept."""

    bytes: int = 20 * 2**20
    pixels: int = 40_000_000


NO_PICTURE = "no picture of a kind that is read"

# Pillow's own limit is fixed; the crawl's is a parameter, and checked before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class ListedImage:
    """An image as a source lists it, before it is fetched.

    `position` is its place in the source's order, `url` its address in the manifest, `fetch` the
    address to ask, where that differs (the embedded gallery's port changes with every run).
    `source` is where the site says that the picture comes from. With `sha256` only a file with
    this hash is taken. `noai`: the page that shows it keeps it from AI.
    """

    position: int
    page: str
    url: str
    tags: tuple[str, ...] = ()
    rating: str = ""
    source: str = ""
    licence: str = ""
    fetch: str = ""
    sha256: str = ""
    noai: bool = False

    def entry(self, status: Status, reason: str) -> ManifestEntry:
        """A manifest entry without a picture."""
        origin = (self.page, self.url, self.tags, self.rating, self.source, self.licence)
        return ManifestEntry(*origin, status, reason)


def check_image(listed: ListedImage, data: bytes, limits: PictureLimits) -> ManifestEntry:
    """The entry of a fetched image: ok with size and format, else bad or too_large with a reason.

    The picture is decoded whole, so that a truncated one is found; but only after its declared
    size was compared with the limit, so that a decompression bomb is never unpacked.
    """
    if len(data) > limits.bytes:
        return listed.entry("too_large", describe_excess(limits.bytes))
    sha256 = hashlib.sha256(data).hexdigest()
    if listed.sha256 and listed.sha256 != sha256:
        return listed.entry("bad", "its sha256 is not the one that was asked for")
    try:
        with open_image(data) as image:
            width, height = image.size
            # a camera's multi-picture file is a JPEG with more after it
            kind = "JPEG" if image.format == "MPO" else str(image.format)
            if width * height > limits.pixels:
                return listed.entry("too_large", f"{width}x{height} pixels, over {limits.pixels}")
            image.load()
    except UnidentifiedImageError:
        kind = identify(data[:HEAD])
        return listed.entry("bad", f"{kind}, which is not read" if kind else NO_PICTURE)
    # Pillow's decoders raise nearly anything on crafted bytes; all of it means the same here.
    except Exception as error:
        return listed.entry("bad", _describe(error))
    entry = replace(listed.entry("ok", ""), sha256=sha256, bytes=len(data), format=kind)
    return replace(entry, width=width, height=height)


def describe_excess(limit: int) -> str:
    """The reason of a file that has more bytes than `limit`."""
    return f"over {limit} bytes"


def _describe(error: Exception) -> str:
    """One line that is the same in every process: without addresses of objects."""
    text = re.sub(r"\s*<[^>]*>", "", " ".join(str(error).split()))
    return f"damaged: {text or type(error).__name__}"
