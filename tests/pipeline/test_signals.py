"""Stopping by signals, with real processes and real signals."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from pipeline.signals import ONE_REQUEST, stopping

ROOT = Path(__file__).resolve().parents[2]
BOTH = ((signal.SIGTERM, 143), (signal.SIGINT, 130))

LOOP = """
import hashlib, time
from pipeline.cli.entry import one_line_errors
from pipeline.signals import Stopped, stopping
with one_line_errors(), stopping() as stop:
    print("ready", flush=True)
    while not stop.asked:
        {step}
    print("checkpoint", flush=True)
    raise Stopped(stop.exit_code)
"""

STEPS = {
    "python": "sum(n for n in range(50_000))",
    "sleep": "time.sleep(0.3)",
    "C without the lock": "hashlib.sha256(bytes(50_000_000))",
}


@pytest.fixture
def loop():
    """loop("time.sleep(1)"): a process that does this step again and again, and has begun."""
    started = []

    def start(step, script=LOOP, **options):
        process = subprocess.Popen(
            [sys.executable, "-c", script.replace("{step}", step)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), BOTH)
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_the_first_signal_lets_the_step_end_and_the_checkpoint_be_written(
    loop, step, number, code
):
    process = loop(step)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (out, process.returncode) == ("checkpoint\n", code)
    lines = err.splitlines()
    assert len(lines) == 2
    assert "stopping after this step; a checkpoint is written" in lines[0]
    assert lines[1] == "gan: stopped; the same command resumes"


@pytest.mark.parametrize(("second", "code"), BOTH)
def test_a_second_signal_of_either_kind_ends_a_sleeping_step_at_once(loop, second, code):
    process = loop("time.sleep(600)")
    time.sleep(0.5)  # until it sleeps
    process.send_signal(signal.SIGINT)
    process.stderr.readline()
    process.send_signal(second)  # at one moment it is one request
    time.sleep(ONE_REQUEST + 0.1)
    assert process.poll() is None
    process.send_signal(second)
    out, err = process.communicate(timeout=20)
    assert (out, process.returncode) == ("", code)
    assert err == "gan: interrupted; nothing is lost, run the same command again\n"


def test_an_interrupt_that_is_ignored_at_the_start_stays_ignored_and_nobody_need_read(loop):
    ignoring = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    process = loop("time.sleep(0.05)", preexec_fn=ignoring)
    process.stderr.close()
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.4)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "checkpoint\n"


ENDING = """
import atexit, ctypes, os, threading, time
from pipeline.cli.entry import one_line_errors
from pipeline.signals import Stopped, stopping

def wait():
    os.write(2, b"late\\n")
    os.read(0, 1)

def wait_in_c():  # both behind all of Python; the last one registered is called first
    libc = ctypes.CDLL(None)
    libc.strdup.restype = ctypes.c_void_p
    for function, text in (("getchar", b""), ("perror", b"late")):
        address = ctypes.cast(getattr(libc, function), ctypes.c_void_p)
        libc.__cxa_atexit(address, ctypes.c_void_p(libc.strdup(text)), None)

with one_line_errors():
    try:
        with stopping() as stop:
            print("ready", flush=True)
            {work}
    finally:
        {place}
"""

STOPPED = "while not stop.asked: time.sleep(0.01)\n            raise Stopped(stop.exit_code)"

PLACES = {
    "while it unwinds": "wait()",
    "while threads end": "threading.Thread(target=wait).start()",
    "at exit": "atexit.register(wait)",
    "after the interpreter": "wait_in_c()",
}


def end_late(process, number):
    """Send a signal when the process waits in its end, and let it go on."""
    while not process.stderr.readline().startswith("late"):
        assert process.poll() is None
    process.send_signal(number)
    return process.communicate("\n", timeout=20)[1]


CASES = [(place, STOPPED, *each) for place in PLACES for each in BOTH]
# as under torchrun: its own signal is late
CASES += [(place, "raise Stopped(143)", None, 143) for place in PLACES]
# any command's Ctrl-C
CASES += [(place, "raise KeyboardInterrupt", None, 130) for place in list(PLACES)[2:]]


@pytest.mark.parametrize(("place", "work", "first", "code"), CASES)
def test_a_signal_that_comes_while_a_process_ends_leaves_its_exit_code(
    loop, place, work, first, code
):
    process = loop("", ENDING.format(work=work, place=PLACES[place]))
    if first is not None:
        process.send_signal(first)
    told = end_late(process, signal.SIGTERM if code == 130 else signal.SIGINT)
    assert process.returncode == code
    assert "Traceback" not in told


INTERRUPTED = """
import sys, time
from pipeline.signals import interrupting
try:
    with interrupting():
        print("ready", flush=True)
        time.sleep(600)
except SystemExit as ending:
    print(ending.code, flush=True)
    sys.stdin.readline()
    raise
"""

SAVING = """
import os, signal, sys, time
def save(*_):
    os.write(1, b"told\\n")
    time.sleep(0.3)
    os.write(1, b"saved\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, save)
os.write(1, b"ready\\n")
time.sleep(600)
"""

HANDING_ON = """
from pathlib import Path
from pipeline.runs.reproduce.checkout import ReproductionFolder
try:
    ReproductionFolder(Path(FOLDER), {}).run("child")
finally:
    print("left", flush=True)
"""


@pytest.mark.parametrize(("first", "code"), BOTH)
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_what_is_interrupted_keeps_its_exit_code(loop, first, code, second):
    process = loop("", INTERRUPTED)
    process.send_signal(first)
    assert process.stdout.readline() == f"{code}\n"
    process.send_signal(second)
    process.communicate("\n", timeout=20)
    assert process.returncode == code


def test_who_hands_a_signal_on_waits_for_what_is_saved_though_it_comes_twice(loop, tmp_path):
    (tmp_path / "grandchild.py").write_text(SAVING)
    run = "import subprocess, sys; subprocess.run([sys.executable, 'grandchild.py'])"
    (tmp_path / "child.py").write_text(run)
    process = loop("", HANDING_ON.replace("FOLDER", repr(str(tmp_path))))
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "told\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == ("saved\nleft\n", 143)


def handlers():
    return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]


def test_a_signal_is_asked_for_once_and_the_handlers_from_before_are_put_back(capfd):
    before = handlers()
    with pytest.raises(ZeroDivisionError), stopping():
        1 / len(set(before) & set(handlers()))
    assert handlers() == before
    with stopping() as stop:
        assert (stop.asked, stop.exit_code) == (False, 0)
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.asked, stop.exit_code) == (True, 143)
    assert handlers() == before
    assert capfd.readouterr().err.startswith("gan: stopping after this step")


def test_outside_of_the_main_thread_nothing_is_changed():
    def look():
        with stopping() as stop:
            return stop.asked, handlers()

    before = handlers()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(look).result() == (False, before)
