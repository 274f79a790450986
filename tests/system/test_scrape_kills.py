"""`gan scrape` killed with SIGKILL at random moments: the same dataset as without."""

import io
import random
import signal
import time
from urllib.parse import urlsplit

import pytest
import yaml
from PIL import Image

from pipeline.dataset.reader import Dataset
from pipeline.gallery.server import Gallery, serve

POSTS = 600
OTHERS = 6 + 2 + 1  # missing, truncated, forbidden


def paint(seed, size):
    """Noise of its own colour, so that pictures differ and have some kilobytes."""
    stream = io.BytesIO()
    noise = random.Random(seed).randbytes(3 * size * size)
    Image.frombytes("RGB", (size, size), noise).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def root():
    with serve(
        Gallery(POSTS, 24, 7, paint, lambda seed: ["solo", f"number_{seed}"]), processes=1
    ) as root:
        yield root


@pytest.fixture
def scrape(gan, root, tmp_path, write_params):
    """scrape(folder, wait): the command in a folder of its own, politeness off."""

    def start(folder, wait):
        folder.mkdir(exist_ok=True)
        changes = {"scrape.delay": 0.0, "scrape.backoff": 0.01, "scrape.connections": 8}
        params = write_params(folder / "params.yaml", changes)
        options = ("--limit", "2000", "--allow-private", urlsplit(root).netloc)
        options += ("--params", params, "--api", "danbooru")
        return gan("scrape", "--source", f"booru:{root}", *options, wait=wait, cwd=folder)

    return start


def count_lines(folder, mark=b'"row":'):
    """Lines with `mark` in the journal of the crawl in `folder`."""
    journals = folder.glob("data.staging/*/journal.jsonl")
    return sum(path.read_bytes().count(mark) for path in journals)


def wait_for(child, folder, wanted):
    """Wait until the journal of the crawl in `folder` has so many entries, or the child ends."""
    while count_lines(folder) < wanted and child.poll() is None:
        time.sleep(0.003)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.soak
@pytest.mark.parametrize("kills", [3, 20])
def test_killed_at_random_moments_the_dataset_is_the_same(scrape, tmp_path, kills):
    whole = scrape(tmp_path / "whole", wait=True)
    assert whole.returncode == 0, whole.stderr
    killed = tmp_path / "killed"
    rng = random.Random(kills)
    moments = sorted(rng.randint(0, POSTS) for _ in range(kills))
    survived = 0
    for moment in moments:
        child = scrape(killed, wait=False)
        wait_for(child, killed, moment)
        time.sleep(rng.uniform(0, 0.05))
        child.kill()
        child.communicate()
        survived += child.returncode == -signal.SIGKILL
    assert survived >= kills - 3  # the last ones may come after the end
    last = scrape(killed, wait=True)
    assert last.returncode == 0, last.stderr
    assert contents(tmp_path / "whole/data") == contents(tmp_path / "killed/data")
    assert Dataset.open(killed / "data").counts["ok"] == POSTS - OTHERS
    for name in ("whole", "killed"):
        assert not (tmp_path / name / "data.staging").exists()


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_the_same_command_resumes(scrape, tmp_path):
    folder = tmp_path / "stopped"
    child = scrape(folder, wait=False)
    wait_for(child, folder, 50)
    child.send_signal(signal.SIGINT)
    _, words = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "Traceback" not in words
    resumed = count_lines(folder, b'"status":"ok"')
    done = scrape(folder, wait=True)
    assert done.returncode == 0
    assert f"skipped {resumed}" in done.stderr
    assert f"{POSTS - OTHERS} ok" in done.stdout
    written = b"".join(contents(folder / "data").values()).decode("latin-1")
    description = yaml.safe_load((folder / "source.yaml").read_text())
    assert description["counts"]["ok"] == POSTS - OTHERS
    assert "127.0.0.1" not in written.replace(description["source"].removeprefix("booru:"), "")
