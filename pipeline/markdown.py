"""Markdown with texts from outside in it: the filter that makes them inert, and Jinja2 with it.

A text from outside (a tag, a host, a name in a checkpoint) becomes a code span: in it nothing is
markup, neither HTML nor links nor emphasis, except three characters: the backtick that ends it,
the bar that ends a table's cell, the backslash that may escape a bar. Lookalikes replace these.
"""

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LONGEST = 80
EMPTY = "*(empty)*"

_LOOKALIKES = str.maketrans({"`": "'", "|": "¦", "\\": "\N{REVERSE SOLIDUS OPERATOR}"})


def code(text: str, longest: int = LONGEST) -> str:
    """Any text as one line of code, shortened to `longest` characters."""
    start = text[: 4 * longest]
    # spaces for what ends a line, changes direction or is invisible
    flat = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in start)
    flat = " ".join(flat.split()).translate(_LOOKALIKES)
    if len(flat) > longest:
        flat = flat[: longest - 1] + "…"
    return f"`{flat}`" if flat else EMPTY


def render_markdown(template: Path, values: Mapping[str, Any]) -> str:
    """Fill in a Jinja2 template of a Markdown page.

    Each text that it prints becomes code, whole numbers get commas, None becomes nothing; only
    text of the template itself and what is marked `safe` (markupsafe.Markup) stays markup.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def make_inert(value: Any) -> Any:
        if isinstance(value, Markup):
            return value
        if isinstance(value, int | float):
            return Markup(f"{value:,}")
        return Markup("" if value is None else code(str(value)))

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        finalize=make_inert,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = lambda *each: Markup(code(*each))
    return environment.get_template(template.name).render(values)
