"""Decides whether bytes are a picture that is kept; bytes are never changed."""

import hashlib
import io
import re
import warnings
from dataclasses import dataclass, replace

from PIL import Image, UnidentifiedImageError

from pipeline.snapshot.layout import EXTENSIONS
from pipeline.snapshot.manifest import Row, Status

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 40_000_000

# Pillow only warns between one and two times its own limit; ours is lower and checked below.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Listed:
    """What a source says of one image before it is fetched.

    `position` is its place in the source's order, `url` what the manifest records, `fetch` where
    it is right now (for the embedded gallery that changes with every run).
    """

    position: int
    page: str
    url: str
    tags: tuple[str, ...] = ()
    rating: str = ""
    licence: str = ""
    fetch: str = ""

    def row(self, status: Status, reason: str) -> Row:
        """A row without a picture."""
        return Row(self.page, self.url, self.tags, self.rating, self.licence, status, reason)


def judge(listed: Listed, data: bytes) -> Row:
    """The row of a fetched image: ok with its marks, else bad or too_large with a reason.

    The picture is decoded whole, so a truncated one is found; but only after its declared size was
    compared with the limit, so a decompression bomb is not.
    """
    if len(data) > MAX_BYTES:
        return listed.row("too_large", describe_limit())
    try:
        with Image.open(io.BytesIO(data), formats=tuple(EXTENSIONS)) as image:
            width, height, kind = image.width, image.height, str(image.format)
            if width * height > MAX_PIXELS:
                return listed.row("too_large", f"{width}x{height} pixels, over {MAX_PIXELS}")
            image.load()
    except UnidentifiedImageError:
        return listed.row("bad", "no JPEG, PNG, WebP or GIF")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return listed.row("too_large", f"over {MAX_PIXELS} pixels")
    # Pillow's decoders raise nearly anything on crafted bytes; all of it means the same here.
    except Exception as error:
        return listed.row("bad", _describe(error))
    return replace(
        listed.row("ok", ""),
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        format=kind,
        width=width,
        height=height,
    )


def describe_limit() -> str:
    return f"over {MAX_BYTES} bytes"


def _describe(error: Exception) -> str:
    """One line that is the same in every process: no addresses of objects."""
    text = re.sub(r"\s*<[^>]*>", "", " ".join(str(error).split()))
    return f"damaged: {text or type(error).__name__}"
