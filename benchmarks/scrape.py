"""How fast `gan scrape` is beside Scrapy's own FilesPipeline, and what a long manifest costs.

    python benchmarks/scrape.py [--images 4000] [--rounds 3]

A server in a process of its own offers JPEGs of about 5 kB on localhost; both crawlers fetch the
same list of addresses with politeness off and 8 connections, in turns. FilesPipeline stores the
files as they come; `gan scrape` also decodes and hashes each picture, journals it, packs shards
and measures the data card, all within its time. Memory is the peak of a process that crawls one
new image on top of a dataset of 100,000 rows, less the same with 100 rows. The last line is JSON.
"""

import argparse
import io
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from aiohttp import web
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
ROWS = (100, 100_000)

OURS = """
import resource, sys, time
from pathlib import Path
import yaml
from gan.params.file import parse_params
from pipeline.crawl.request import ScrapeRequest
from pipeline.paths import Paths
from pipeline.stages.scrape import run

values = yaml.safe_load(Path(sys.argv[1]).read_text())
values["scrape"] |= {"delay": 0.0, "connections": 8}
params = parse_params(values, sys.argv[1]).scrape
request = ScrapeRequest(source=f"urls:{sys.argv[2]}", allow_private=(sys.argv[3],))
start = time.perf_counter()
run(request, params, Paths(Path.cwd()))
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""

PEER = """
import sys, time
from pathlib import Path
import scrapy
from scrapy.crawler import CrawlerProcess

class Files(scrapy.Spider):
    name = "files"

    async def start(self):
        yield {"file_urls": Path(sys.argv[1]).read_text().split()}

settings = {
    "ITEM_PIPELINES": {"scrapy.pipelines.files.FilesPipeline": 1}, "FILES_STORE": "files",
    "CONCURRENT_REQUESTS": 8, "CONCURRENT_REQUESTS_PER_DOMAIN": 8, "DOWNLOAD_DELAY": 0,
    "ROBOTSTXT_OBEY": True, "LOG_ENABLED": False, "TELNETCONSOLE_ENABLED": False,
}
start = time.perf_counter()
process = CrawlerProcess(settings)
process.crawl(Files)
process.start()
print(time.perf_counter() - start, len(list(Path("files/full").iterdir())))
"""

FILL = """
import hashlib, json, sys
from pathlib import Path
from pipeline.crawl.storage.journal import Journal
from pipeline.dataset.manifest import ManifestEntry
from pipeline.crawl.storage.writer import publish

root, rows, description = Path.cwd(), int(sys.argv[1]), json.loads(sys.argv[2])
tags = tuple(f"tag_number_{n}" for n in range(30))
with Journal(root / "staging", description) as journal:
    for number in range(rows):
        data = str(number).encode()
        url = f"https://example.org/somewhere/quite/long/{number:08}.jpg"
        sha256 = hashlib.sha256(data).hexdigest()
        size = (len(data), "JPEG", 1, 1)
        row = ManifestEntry(url, url, tags, "general", url, "unknown", "ok", "", sha256, *size)
        journal.add(number, row, data)
    publish(journal, lambda _: description, root / "data", root / "old")
"""


def picture(number: int) -> bytes:
    """A JPEG of about 5 kB, another one for each number."""
    noise = Image.frombytes("RGB", (12, 12), random.Random(number).randbytes(432))
    stream = io.BytesIO()
    noise.resize((128, 128), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=88)
    return stream.getvalue()


def serve(images: int, pipe: Connection) -> None:
    """Runs in a process of its own: announces its port, then answers until it is killed."""
    files = [picture(number) for number in range(images)]

    async def answer(request: web.Request) -> web.Response:
        number = int(request.match_info["number"])
        return web.Response(body=files[number], content_type="image/jpeg")

    async def ready(application: web.Application) -> None:
        pipe.send(statistics.mean(map(len, files)))

    application = web.Application()
    application.router.add_get(r"/{number:\d+}.jpg", answer)
    application.on_startup.append(ready)
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        pipe.send(listening.getsockname()[1])
        web.run_app(application, sock=listening, access_log=None, print=None)


@contextmanager
def server(images: int) -> Iterator[tuple[int, float]]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(images, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv(), ours.recv()
    finally:
        process.kill()
        process.join()


def run(code: str, folder: Path, *arguments: object) -> list[float]:
    """Run `code` in a fresh process; the numbers of its last line."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [float(word) for word in done.stdout.splitlines()[-1].split()] if done.stdout else []


def race(images: int, rounds: int, folder: Path) -> dict[str, float]:
    """Both crawlers in turns; medians of images a second, and of the ratio of a round."""
    speeds: list[tuple[float, float]] = []
    with server(images) as (port, size):
        print(f"{images} pictures of {size:.0f} bytes on average, politeness off, 8 connections")
        urls = folder / "urls.txt"
        urls.write_text("".join(f"http://127.0.0.1:{port}/{n}.jpg\n" for n in range(images)))
        for number in range(rounds):
            places = [folder / f"{name}{number}" for name in ("ours", "peer")]
            for place in places:
                place.mkdir()
            ours, _ = run(OURS, places[0], ROOT / "params.yaml", urls, f"127.0.0.1:{port}")
            peer, files = run(PEER, places[1], urls)
            if files != images:
                raise SystemExit(f"FilesPipeline stored {files:.0f} of {images}")
            speeds.append((images / ours, images / peer))
            print(f"gan scrape {images / ours:.0f}/s, FilesPipeline {images / peer:.0f}/s")
    return {
        "images_per_second": round(statistics.median(ours for ours, _ in speeds), 1),
        "vs_scrapy_files_pipeline": round(statistics.median(a / b for a, b in speeds), 2),
    }


def memory(folder: Path) -> float:
    """Peak memory (MB) of a crawl onto many rows, less that of one onto few."""
    peaks = []
    with server(1) as (port, _):
        for rows in ROWS:
            place = folder / f"rows{rows}"
            place.mkdir()
            urls = place / "urls.txt"
            urls.write_text(f"http://127.0.0.1:{port}/0.jpg\n")
            description = {"source": "urls:urls.txt", "licence": "unknown"}
            run(FILL, place, rows, json.dumps(description))
            _, peak = run(OURS, place, ROOT / "params.yaml", urls, f"127.0.0.1:{port}")
            rows_now = sum(1 for _ in (place / "data" / "manifest.jsonl").open())
            if rows_now != rows + 1:
                raise SystemExit(f"the crawl did not build on {rows} rows: {rows_now} now")
            peaks.append(peak)
            print(f"a crawl onto {rows} rows: {peak:.0f} MB at its peak")
    return round(peaks[1] - peaks[0], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = race(arguments.images, arguments.rounds, folder)
        result["memory_of_100k_rows_mb"] = memory(folder)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
