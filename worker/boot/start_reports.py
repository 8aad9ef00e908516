"""How a pool process tells its parent that it has started, or why it could not: one line on a shared pipe."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["StartReport", "StartReports"]

#: A write of up to PIPE_BUF bytes (4096 on Linux) is never mixed with another process's.
_MAX_LINE_BYTES = 4096
_MAX_CAUSE_CHARACTERS = 800
#: Of one character in a line of JSON: two escapes of six, for what is outside the basic plane.
_MAX_CHARACTER_BYTES = 12


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
        """Write one report, from a pool process; a cause that is too long for one line is cut.

        It never raises: a process that fails to say why it cannot serve must end all the same.
        """
        fields = asdict(report)
        fields["cause"] = report.cause and report.cause[:_MAX_CAUSE_CHARACTERS]
        while fields["cause"] and (excess := len(_encode(fields)) - _MAX_LINE_BYTES) > 0:
            fields["cause"] = fields["cause"][: -(excess // _MAX_CHARACTER_BYTES + 1)]
        # A full pipe: the parent has many others to read, and sees this process end, too.
        with contextlib.suppress(OSError):
            os.write(self._write_end, _encode(fields))

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


def _encode(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"
