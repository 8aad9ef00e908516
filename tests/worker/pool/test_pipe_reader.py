"""A result that comes in parts is read to its end, even if the event loop is reset or the process ends."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.pool import READY

from worker.pool.pipe_reader import PipeReader

JOB = 5


class Hub:
    """The part of kombu's event loop that a reader uses."""

    def __init__(self) -> None:
        self.readers: dict[int, Any] = {}

    def add_reader(self, fd: int, callback: Any, *args: Any) -> None:
        self.readers[fd] = callback, args

    def remove_reader(self, fd: int) -> None:
        self.readers.pop(fd, None)


class Process:
    """A process whose results are written by the test."""

    exitcode = -9
    dead = False
    _controlled_termination = False

    def __init__(self) -> None:
        self.index = self.pid = 0
        self.inqW_fd = -1
        self.outqR_fd, self.write_fd = os.pipe()
        os.set_blocking(self.outqR_fd, False)
        self._popen: Any = None
        self.outq: Any = SimpleNamespace(_reader=SimpleNamespace(poll=lambda _: False))

    def _is_alive(self) -> bool:
        return False


@pytest.fixture
def process() -> Iterator[Process]:
    made = Process()
    yield made
    os.close(made.outqR_fd)
    os.close(made.write_fd)


@pytest.fixture
def results() -> list[Any]:
    return []


@pytest.fixture
def reader(process: Process, results: list[Any]) -> PipeReader:
    def on_job_ready(job: int, _: Any, result: Any, __: int) -> None:
        results.append((job, result))

    return PipeReader(
        None, None, {}, None, None, None, None, None, on_job_ready,
        fileno_to_outq={process.outqR_fd: process}, on_process_alive=None,
    )  # fmt: skip


def message(result: str) -> bytes:
    body = pickle.dumps((READY, (JOB, None, result, 0)))
    return struct.pack(">i", len(body)) + body


def connect(reader: PipeReader) -> None:
    """Register the reader, as the pool does at the start and after each loss of the connection."""
    reader.register_with_event_loop(Hub())


@pytest.mark.parametrize("cut", [2, 4, 20])
def test_a_message_goes_on_after_the_event_loop_was_reset(
    reader: PipeReader, process: Process, results: list[Any], cut: int
) -> None:
    whole = message("first")
    connect(reader)
    os.write(process.write_fd, whole[:cut])
    reader.handle_event(process.outqR_fd)
    assert results == []

    connect(reader)
    os.write(process.write_fd, whole[cut:])
    reader.handle_event(process.outqR_fd)
    os.write(process.write_fd, message("second"))
    reader.handle_event(process.outqR_fd)

    assert results == [(JOB, "first"), (JOB, "second")]


def test_what_a_process_wrote_before_it_died_is_read(reader: PipeReader, process: Process, results: list[Any]) -> None:
    whole = message("last")
    connect(reader)
    os.write(process.write_fd, whole[:20])
    reader.handle_event(process.outqR_fd)
    os.write(process.write_fd, whole[20:])

    assert not reader.finish_partial_read(process)
    assert results == [(JOB, "last")]


def test_a_message_without_an_end_is_given_up_with_its_process(
    reader: PipeReader, process: Process, results: list[Any]
) -> None:
    connect(reader)
    os.write(process.write_fd, message("lost")[:20])
    reader.handle_event(process.outqR_fd)

    assert reader.finish_partial_read(process)
    assert not reader.finish_partial_read(process)
    assert results == []


def test_another_process_with_the_same_descriptor_begins_anew(
    reader: PipeReader, process: Process, results: list[Any]
) -> None:
    connect(reader)
    os.write(process.write_fd, message("lost")[:20])
    reader.handle_event(process.outqR_fd)
    reader.fileno_to_outq[process.outqR_fd] = object()
    os.write(process.write_fd, message("new"))

    reader.handle_event(process.outqR_fd)

    assert results == [(JOB, "new")]
