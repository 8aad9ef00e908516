"""A process heeds SIGTERM from its parent, whatever it does, and from nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

#: A process that blocks in a read, and says what becomes of SIGTERM. Its argument says which handler it has.
_CODE = """
import logging, os, signal, sys
from worker.pool.parent_signals import initialize

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")

def leave(number, frame):
    print("told", flush=True)
    os._exit(7)

def set_handler():
    if sys.argv[1] == "handler":
        signal.signal(signal.SIGTERM, leave)
    elif sys.argv[1] == "ignore":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

initialize(set_handler)
print("ready", flush=True)
sys.stdin.read(1)
if sys.argv[1] == "itself":
    signal.signal(signal.SIGTERM, leave)
    os.kill(os.getpid(), signal.SIGTERM)
    sys.stdin.read(1)
"""


@pytest.fixture
def child(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, "-c", _CODE, request.param], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    yield started
    started.kill()
    started.communicate()


def kill_from_another_process(pid: int) -> None:
    subprocess.run([sys.executable, "-c", f"import os; os.kill({pid}, {int(signal.SIGTERM)})"], check=True)


def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


@pytest.mark.parametrize("child", ["handler"], indirect=True)
def test_it_calls_its_handler_for_its_parent_only(child: subprocess.Popen[str]) -> None:
    kill_from_another_process(child.pid)
    assert said(child).startswith("this process ignores the SIGTERM of process")

    os.kill(child.pid, signal.SIGTERM)

    assert said(child) == "told\n"
    assert child.wait() == 7


@pytest.mark.parametrize("child", ["default"], indirect=True)
def test_without_a_handler_its_parent_ends_it(child: subprocess.Popen[str]) -> None:
    kill_from_another_process(child.pid)
    assert said(child).startswith("this process ignores")
    os.kill(child.pid, signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM


@pytest.mark.parametrize("child", ["ignore"], indirect=True)
def test_a_signal_that_is_ignored_is_ignored(child: subprocess.Popen[str]) -> None:
    os.kill(child.pid, signal.SIGTERM)
    out, _ = child.communicate("x")
    assert (child.returncode, out) == (0, "")


@pytest.mark.parametrize("child", ["itself"], indirect=True)
def test_it_may_end_itself(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("x")
    child.stdin.flush()
    assert said(child) == "told\n"
    assert child.wait() == 7
