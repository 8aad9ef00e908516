"""How much a pipe holds, on systems that let us ask for more and on others."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest

from worker.pool.pipes import PIPE_BYTES, widen


@pytest.fixture
def pipe() -> Iterator[int]:
    reader, writer = os.pipe()
    yield writer
    os.close(reader)
    os.close(writer)


def test_a_pipe_is_widened_and_its_size_told(pipe: int) -> None:
    held_bytes = widen(pipe)

    assert held_bytes == fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
    assert held_bytes == PIPE_BYTES or os.geteuid() != 0


def test_a_pipe_that_may_not_be_widened_keeps_its_size(pipe: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before_bytes = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
    # More than any user may have.
    monkeypatch.setattr("worker.pool.pipes.PIPE_BYTES", 2**30 + 1 if os.geteuid() else 2**31 - 1)

    assert widen(pipe) == before_bytes


def test_a_system_that_does_not_tell_is_assumed_to_have_small_pipes(pipe: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(fcntl, "F_SETPIPE_SZ")

    assert 0 < widen(pipe) < PIPE_BYTES
