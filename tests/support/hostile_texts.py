"""Texts that act as markup or break a table in a Markdown page that does not escape them."""

from markdown_it import MarkdownIt

HOSTILE = (
    "a|b",
    "a\\|b",
    "back`tick``s",
    "<script>alert(1)</script>",
    '<img src=x onerror="x">',
    "![x](http://evil.test/x.png)",
    "[x](javascript:alert(1))",
    "https://evil.test www.evil.test a@evil.test",
    "two\nlines\r\n\n# heading\n\n| a | b |",
    "\u2028\u202e\x00\x1b[31mred\ud800",
    "&lt;b&gt; **bold** _it_ ~~no~~ $x$",
    "\\",
    "`",
    "|",
    "  ",
    "x" * 5000,
)

MARKUP = {"html_block", "html_inline", "link_open", "image", "fence", "code_block"}
"""Kinds of tokens that a text from outside must not make."""


def parse_markdown(markdown):
    """Tokens of the page as GitHub reads it: tables, links by mere address, HTML."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = parser.parse(markdown)
    return [*tokens, *(child for token in tokens for child in token.children or ())]
