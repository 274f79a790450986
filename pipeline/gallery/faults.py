"""The embedded gallery's deliberate faults, so that a crawl of it meets what real ones meet."""

from typing import Literal

Fault = Literal["missing", "truncated", "busy", "forbidden"]

FORBIDDEN_POST = 34
BUSY_POST = 21


def fault_of(post: int) -> Fault | None:
    """What is wrong with a post's picture: about one in seventy never arrives.

    `missing` answers 404, `truncated` sends half the bytes, `busy` answers 429 once and then the
    picture, `forbidden` lies where robots.txt doesn't let crawlers go.
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
