"""What a generated picture says of itself in its PNG file, and how that is read back.

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
LONGEST = 1_000_000  # characters; more was not written here
MOST_PIXELS = 100_000_000  # of a picture that is decoded to look for texts behind its pixels


def about(
    subject: Mapping[str, Any], seeds: str, truncation: float = 1.0
) -> PngImagePlugin.PngInfo:
    """The text chunks of a picture of `seeds`, such as 7 or 0-63.

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


def read_about(file: Path) -> dict[str, Any]:
    """The object that `about` was given, with format, seeds and truncation.

    GanError if the file is no PNG, or says nothing of this kind: most programs that edit or
    upload pictures drop such texts.
    """
    try:
        with Image.open(file) as image:
            if image.width * image.height <= MOST_PIXELS:
                image.load()  # text may stand behind the pixels
            text = image.info.get(KEY)
    except FileNotFoundError:
        raise GanError(f"{file}: no such file") from None
    except Image.DecompressionBombError:
        raise GanError(f"{file}: has too many pixels to be looked into") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise GanError(f"{file}: not a picture, or damaged") from None
    if not isinstance(text, str) or len(text) > LONGEST:
        raise GanError(
            f"{file}: says nothing of where it is from; `gan generate` writes that into its PNG "
            "files, and programs that edit or upload them drop it"
        )
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):  # nested without end
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise GanError(f"{file}: its text {KEY} is not what `gan generate` writes")
    return content
