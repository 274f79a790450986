"""The APIs of boorus, by name."""

from pipeline.crawl.booru.danbooru import DANBOORU
from pipeline.crawl.booru.gelbooru import GELBOORU
from pipeline.crawl.booru.moebooru import MOEBOORU

APIS = {api.name: api for api in (DANBOORU, MOEBOORU, GELBOORU)}
"""In the order of detection: only the last one takes an empty answer for a list."""
