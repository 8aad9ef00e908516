"""Tells the parent that a pool process has started, or why it could not: one line on a shared pipe."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["StartReport", "StartReports"]

#: The kernel does not interleave writes of up to PIPE_BUF bytes (4096 on Linux) from several processes.
_MAX_LINE_BYTES = 4096
_MAX_CAUSE_CHARACTERS = 800
#: Size of one character in JSON, at most: outside the Basic Multilingual Plane it takes two escapes of six bytes.
_MAX_CHARACTER_BYTES = 12


@dataclass(frozen=True)
class StartReport:
    """The outcome of one process's start.

    Attributes:
        pid: the process.
        index: index of the process in the pool, and of its core set.
        cores: the cores that it is pinned to.
        seconds: how long the start took, until the models were warmed up.
        cause: why the process cannot serve; None if it can.
        arithmetic: in which arithmetic each model computes, by its name; empty if that does not fit into one line.
        revisions: which revision of each model it has loaded, by the model's name; empty likewise.
        token_s: seconds per token of the slowest model of each task, as measured at the start.
    """

    pid: int
    index: int
    cores: tuple[int, ...]
    seconds: float
    cause: str | None
    arithmetic: Mapping[str, str] = field(default_factory=dict)
    revisions: Mapping[str, str] = field(default_factory=dict)
    token_s: Mapping[str, float] = field(default_factory=dict)


class StartReports:
    """A pipe that is opened before the processes are forked. They write to it; the parent reads without blocking."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._incomplete_line = b""

    def send(self, report: StartReport) -> None:
        """Write one report, in a pool process; what is too long for one write is cut.

        Never raises: a process that cannot serve must end even if its report cannot be written.
        """
        fields = asdict(report)
        fields["cause"] = report.cause and report.cause[:_MAX_CAUSE_CHARACTERS]
        while fields["cause"] and (excess := len(_encode(fields)) - _MAX_LINE_BYTES) > 0:
            fields["cause"] = fields["cause"][: -(excess // _MAX_CHARACTER_BYTES + 1)]
        if len(_encode(fields)) > _MAX_LINE_BYTES:
            fields["arithmetic"] = fields["revisions"] = {}
        # The pipe is full: the parent has many other reports to read, and notices anyway that this process ends.
        with contextlib.suppress(OSError):
            os.write(self._write_end, _encode(fields))

    def receive(self) -> Iterator[StartReport]:
        """The reports that have arrived since the last call; in the parent."""
        while True:
            try:
                data = os.read(self._read_end, _MAX_LINE_BYTES)
            except BlockingIOError:
                return
            *lines, self._incomplete_line = (self._incomplete_line + data).split(b"\n")
            for line in lines:
                fields = json.loads(line)
                yield StartReport(**{**fields, "cores": tuple(fields["cores"])})


def _encode(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"
