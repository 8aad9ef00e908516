"""How a pool process tells its parent that it has started, or why it could not: one line on a shared pipe."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

__all__ = ["StartReport", "StartReports"]

#: A write of up to PIPE_BUF bytes (4096 on Linux) is never mixed with another process's.
_MAX_LINE_BYTES = 4096
_MAX_CAUSE_CHARACTERS = 800


@dataclass(frozen=True)
class StartReport:
    """One start of one process.

    Attributes:
        pid: the process.
        index: which of the worker's core sets it has.
        cores: the cores that it is pinned to.
        seconds: from its first own line of code until its models were warm.
        cause: why it cannot serve; None when it can.
    """

    pid: int
    index: int
    cores: tuple[int, ...]
    seconds: float
    cause: str | None


class StartReports:
    """A pipe made before the processes are forked; they write, the parent reads without waiting."""

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._rest = b""

    def send(self, report: StartReport) -> None:
        """Write one report, from a pool process."""
        fields = asdict(report)
        if report.cause is not None:
            fields["cause"] = report.cause[:_MAX_CAUSE_CHARACTERS]
        line = json.dumps(fields).encode() + b"\n"
        if len(line) <= _MAX_LINE_BYTES:
            os.write(self._write_end, line)

    def receive(self) -> Iterator[StartReport]:
        """All reports that have arrived since the last call, in the parent."""
        while True:
            try:
                data = os.read(self._read_end, _MAX_LINE_BYTES)
            except BlockingIOError:
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                fields = json.loads(line)
                yield StartReport(**{**fields, "cores": tuple(fields["cores"])})
