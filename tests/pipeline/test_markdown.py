"""Markdown from texts of strangers: code spans, and templates that make nothing else of them."""

import pytest
from hostile_texts import HOSTILE, MARKUP, parse_markdown

from pipeline.markdown import code, render_markdown

TEMPLATE = """\
# {{ title }}

| name | count |
|---|---|
{% for name, count in rows %}
| {{ name }} | {{ count }}{{ nothing }} |
{% endfor %}

{{ "*ours*"|safe }} {{ title|code(4) }}
"""


def test_code_is_one_short_line_whatever_comes():
    assert code("long_hair") == "`long_hair`"
    assert code("") == code(" \n\t\u200b") == "*(empty)*"
    assert code("`|\\") == "`'¦\N{REVERSE SOLIDUS OPERATOR}`"
    assert code("x" * 500) == f"`{'x' * 79}…`"


@pytest.mark.parametrize("text", ["calm", *HOSTILE])
def test_a_template_prints_texts_as_code_and_its_own_markup_as_it_is(tmp_path, text):
    template = tmp_path / "page.md"
    template.write_text(TEMPLATE)
    page = render_markdown(
        template, {"title": text, "rows": [(text, 1234567)] * 2, "nothing": None}
    )
    tokens = parse_markdown(page)
    kinds = [token.type for token in tokens]
    assert not MARKUP & set(kinds)
    assert kinds.count("heading_open") == kinds.count("table_open") == 1
    assert kinds.count("td_open") == 4
    assert kinds.count("em_open") == 1 + 4 * (not text.strip())
    assert page.count("1,234,567 |") == 2
