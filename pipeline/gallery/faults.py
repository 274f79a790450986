"""Deliberate faults of the embedded gallery, so that its crawl meets the faults of real ones."""

from typing import Literal

Fault = Literal["missing", "truncated", "busy", "forbidden"]

FORBIDDEN_POST = 34
BUSY_POST = 21


def fault_of(post: int) -> Fault | None:
    """The fault of a post's picture, or None: about one in seventy never arrives.

    `missing` answers 404, `truncated` sends half the bytes, `busy` answers 429 once and then the
    picture, `forbidden` has a path that robots.txt disallows.
    """
    if post == FORBIDDEN_POST:
        return "forbidden"
    if post == BUSY_POST:
        return "busy"
    if post % 100 == 13:
        return "missing"
    return "truncated" if post % 400 == 77 else None


def picture_of(post: int) -> int:
    """The number of the picture a post shows: its own, or that of the post before it (reposts)."""
    return post - 1 if post % 200 == 50 else post
