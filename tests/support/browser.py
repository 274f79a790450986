"""A Chromium for tests: the machine's own, else one that is installed for them."""

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cache

from filelock import FileLock
from playwright.sync_api import sync_playwright

NAMES = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    *(f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Chromium", "Google Chrome")),
)
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


@cache
def chromium() -> str:
    """Path of a Chromium; the test that asks fails if there is none and none can be had."""
    with FileLock(f"{tempfile.gettempdir()}/chromium-for-tests-{os.getuid()}.lock"):
        if found := _of_the_machine() or _of_debian() or _of_playwright():
            return found
    raise AssertionError(
        f"no Chromium: neither one of {', '.join(NAMES)}, nor Debian's package (wants root), nor "
        f"playwright's (wants a network); {sys.executable} -m playwright install --with-deps "
        "chromium"
    )


@contextmanager
def launched():
    """A running browser of playwright's."""
    path = chromium()
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=list(OPTIONS))


def _of_the_machine():
    return next(filter(None, map(shutil.which, NAMES)), None)


def _of_debian():
    if os.getuid() != 0 or not shutil.which("apt-get"):
        return None
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "chromium"]):
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    return _of_the_machine()


def _of_playwright():
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if os.path.exists(path) else None
