"""Lineage of a generated picture in the text chunks of its PNG file: written and read.

The text chunk `gan.lineage` holds one JSON object, so that a picture alone, without repository and
tracker, leads to its run, data and settings; `gan.seed` and `gan.run_key` are there for other
programs.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from gan.errors import GanError

FORMAT = "avatar-gan picture 1"
KEY = "gan.lineage"
LONGEST = 1_000_000  # characters; `gan generate` never writes more
MOST_PIXELS = 100_000_000  # of a picture that is decoded to find text chunks behind its pixels


def make_text_chunks(
    subject: Mapping[str, Any], seeds: str, truncation: float = 1.0
) -> PngImagePlugin.PngInfo:
    """Make the text chunks of a picture of `seeds`, such as 7 or 0-63.

    subject: as evaluations describe a checkpoint: name, run_key, images_seen, trained_on (cache
    digest), size, weights, lineage, and sha256 of its file where there is one.
    """
    content = {"format": FORMAT, "seeds": seeds, "truncation": truncation, **subject}
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Software", "avatar-gan")
    chunks.add_text("gan.seed", seeds)
    chunks.add_text("gan.run_key", subject["run_key"])
    chunks.add_text(KEY, json.dumps(content, sort_keys=True, separators=(",", ":")), zip=True)
    return chunks


def read_lineage(file: Path) -> dict[str, Any]:
    """Read the subject that `make_text_chunks` was given, with format, seeds and truncation.

    Raises GanError if the file is no PNG or has no such text chunk: most programs that edit or
    upload pictures drop it.
    """
    try:
        with Image.open(file) as image:
            if image.width * image.height <= MOST_PIXELS:
                image.load()  # text may stand behind the pixels
            text = image.info.get(KEY)
    except FileNotFoundError:
        raise GanError(f"{file}: no such file") from None
    except Image.DecompressionBombError:
        raise GanError(f"{file}: has too many pixels to be opened safely") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise GanError(f"{file}: not a picture, or damaged") from None
    if not isinstance(text, str) or len(text) > LONGEST:
        raise GanError(
            f"{file}: holds no lineage; `gan generate` writes it into the PNG's text chunks, and "
            "most programs that edit or upload pictures drop it"
        )
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):  # nested without end
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise GanError(f"{file}: its text chunk {KEY} was not written by `gan generate`")
    return content
