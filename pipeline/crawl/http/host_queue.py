"""The queue of requests: the most urgent first, and never too many of one host at a time."""

from collections import Counter

from scrapy import Request
from scrapy.pqueues import DownloaderAwarePriorityQueue

LEEWAY = 100
"""Priorities closer than this are equal between hosts: a retry goes first at its own host only."""


class HostQueue(DownloaderAwarePriorityQueue):
    """Scrapy's queue with one queue a host, stricter in two ways.

    A host never has more requests under way, delayed ones included, than the crawl has
    connections: so a host that must wait for minutes takes no place from another. And nothing
    less urgent starts while something more urgent waits, on whatever host: so the images of one
    page of a listing are fetched before the next page is requested, and one page of them waits in
    memory, not a million.
    """

    def push(self, request: Request) -> None:
        # Scrapy's redirects would stay in the queue of the host that they lead away from.
        request.meta.pop("download_slot", None)
        super().push(request)

    def pop(self) -> Request | None:
        free = self._free_hosts()
        if not free:
            return None
        host = self._next_slot(free, update_state=True)
        queue = self.pqueues[host]
        request = queue.pop()
        if not queue:
            del self.pqueues[host]
        return request

    def _free_hosts(self) -> list[tuple[int, str]]:
        """Requests under way and name of each host that the next request may be for."""
        downloader = self.crawler.engine.downloader
        most = downloader.domain_concurrency
        active = Counter(downloader.get_slot_key(request) for request in downloader.active)
        first = min((queue.curprio or 0 for queue in self.pqueues.values()), default=0)
        return [
            (active[host], host)
            for host, queue in self.pqueues.items()
            if (queue.curprio or 0) < first + LEEWAY and active[host] < most
        ]
