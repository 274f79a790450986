"""A Chromium for tests: the machine's own, else one that is installed for them."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


@cache
def chromium() -> str:
    """Path of a Chromium; the test that asks fails if there is none and none can be had."""
    for look in (_of_the_machine, _of_debian, _of_playwright):
        with _one_process_at_a_time():
            if found := look():
                return found
    raise AssertionError(
        f"no Chromium: neither {', '.join(NAMES)} in PATH, nor {', '.join(APPLICATIONS)}, nor "
        f"Debian's package (wants root), nor playwright's (wants a network); install one: "
        f"{sys.executable} -m playwright install --with-deps chromium"
    )


@contextmanager
def launched():
    """A running browser of playwright's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), headless=True, args=list(OPTIONS)
        )
        yield browser
        browser.close()


@contextmanager
def _one_process_at_a_time():
    with (Path(tempfile.gettempdir()) / f"chromium-for-tests-{os.getuid()}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _of_the_machine():
    found = filter(None, map(shutil.which, (*NAMES, *APPLICATIONS)))
    return next(found, None)


def _of_debian():
    if os.getuid() != 0 or not shutil.which("apt-get"):
        return None
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "chromium"]):
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    return _of_the_machine()


def _of_playwright():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    if not path.exists():
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    return str(path) if path.exists() else None
