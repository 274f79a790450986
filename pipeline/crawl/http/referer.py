"""The Referer of a picture: the page that shows it. Many sites send pictures to no other request.

Requests for pages and listings have none: the address of a listing may hold a key.
"""

from scrapy import Request
from scrapy.spidermiddlewares.referer import NoReferrerWhenDowngradePolicy
from w3lib.url import safe_url_string

from pipeline.crawl.public_url import strip_credentials

PAGE = "page"
"""Request meta: the page that a picture was found on; empty where none is known."""


class Referer:
    """Downloader middleware: names the page to each request for a picture, redirects too.

    The address goes without fragment, user, password and credentials in its query, and no https
    page is named over http.
    """

    def __init__(self) -> None:
        self._policy = NoReferrerWhenDowngradePolicy()

    def process_request(self, request: Request) -> None:
        """Set the header."""
        page = request.meta.get(PAGE, "")
        if page.startswith(("http://", "https://")):
            shown = strip_credentials(safe_url_string(page))
            request.headers["Referer"] = self._policy.referrer(shown, request.url)
