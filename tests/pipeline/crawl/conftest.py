"""Fixtures of the tests of the crawl."""

import pytest
from fault_server import Server
from local_server import PageServer, picture

from pipeline.crawl.archive.source import Archive
from pipeline.crawl.http.policy import CrawlPolicy
from pipeline.crawl.image_check import PictureLimits
from pipeline.crawl.request import ScrapeRequest
from pipeline.crawl.sink import Sink
from pipeline.crawl.storage.journal import Journal


@pytest.fixture
def archive(make_params):
    """archive(path, limit=2, max_bytes=5000): the source, with these options and settings."""

    def make(path, limit=None, licence="mine", **limits):
        params = make_params({f"scrape.{key}": value for key, value in limits.items()})
        request = ScrapeRequest(licence=licence, limit=limit)
        return Archive(path, request, CrawlPolicy(params.scrape))

    return make


@pytest.fixture
def fetch(tmp_path):
    """fetch(source): its entries, each address once; a second call resumes from the journal."""

    def make(source, into="staging", on_change=lambda _: None):
        with Journal(tmp_path / into, source.identity) as journal:
            source.fetch(Sink(journal, PictureLimits(), lambda _, sink: on_change(sink)))
            entries = [record.entry for record in journal.records()]
        assert len(entries) == source.total == len({entry.url for entry in entries})
        return entries

    return make


@pytest.fixture
def site():
    """Pages to be filled, and 40 pictures, p0.png to p39.png."""
    with PageServer() as server:
        for shade in range(40):
            server.pages[f"p{shade}.png"] = picture(shade)
        yield server


@pytest.fixture
def server():
    with Server() as server:
        yield server
