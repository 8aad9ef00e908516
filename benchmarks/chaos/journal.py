"""What the processes of workers write down for themselves, whatever becomes of them and of Redis.

Each process appends to a file of its own, with one ``write`` for each batch: what was written outlives a SIGKILL. The
clock is the machine's monotonic one, which all processes share.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

__all__ = ["JOURNAL_VARIABLE", "Journal", "JournalFile", "Note", "What", "id_of", "number_of", "numbers_in"]

#: Names the directory of the journals; only the apps of this package read it.
JOURNAL_VARIABLE = "CHAOS_JOURNAL"
_ID = re.compile(rb"chaos-(\d{8})")


def id_of(number: int) -> str:
    """The task id of a number in the ledger."""
    return f"chaos-{number:08d}"


def number_of(task_id: object) -> int | None:
    """The number of a task id; None if the ledger has nothing to do with it."""
    found = _ID.fullmatch(task_id.encode()) if isinstance(task_id, str) else None
    return int(found[1]) if found else None


def numbers_in(raw: bytes) -> set[int]:
    """The numbers of all ids in some bytes."""
    return {int(digits) for digits in _ID.findall(raw)}


class What(Enum):
    """What happened."""

    #: A worker's parent consumes.
    UP = "U"
    #: A worker's parent has a request.
    RECEIVED = "R"
    #: A process has begun to compute a request.
    BEGAN = "B"
    #: It has computed it.
    ENDED = "E"
    #: A process kills itself at a step, whose value is the number.
    KILLED = "K"


class Note(NamedTuple):
    """One line.

    Attributes:
        what: what happened.
        number: of the ledger.
        retries: how often the request had been retried before.
        at_s: on the monotonic clock.
    """

    what: What
    number: int
    retries: int
    at_s: float


class Journal:
    """Where this process writes; after a fork, the new process has another file.

    Args:
        directory: of the run; None to write nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._pid = 0
        self._file = -1

    @classmethod
    def of_environment(cls) -> Journal:
        """The journal that the environment names."""
        directory = os.environ.get(JOURNAL_VARIABLE)
        return cls(Path(directory) if directory else None)

    def up(self) -> None:
        """This worker consumes."""
        self._write(What.UP, [(0, 0)])

    def received(self, task_id: object, retries: int) -> None:
        """This worker has a request."""
        self._write_ids(What.RECEIVED, [(task_id, retries)])

    def began(self, calls: Iterable[tuple[object, int]]) -> None:
        """This process begins to compute requests, given by task id and number of retries."""
        self._write_ids(What.BEGAN, calls)

    def ended(self, calls: Iterable[tuple[object, int]]) -> None:
        """This process has computed them."""
        self._write_ids(What.ENDED, calls)

    def killed_at(self, step: int) -> None:
        """This process kills itself now."""
        self._write(What.KILLED, [(step, 0)])

    def _write_ids(self, what: What, calls: Iterable[tuple[object, int]]) -> None:
        found = [(number_of(task_id), retries) for task_id, retries in calls]
        self._write(what, [(number, retries) for number, retries in found if number is not None])

    def _write(self, what: What, numbers: Iterable[tuple[int, int]]) -> None:
        if self._directory is None:
            return
        if self._pid != os.getpid():
            self._pid = os.getpid()
            path = self._directory / f"{os.getppid()}-{self._pid}.journal"
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        at_s = time.monotonic()
        lines = "".join(f"{what.value} {number} {retries} {at_s:.4f}\n" for number, retries in numbers)
        os.write(self._file, lines.encode())


class JournalFile(NamedTuple):
    """The journal of one process.

    Attributes:
        parent_pid: its parent when it began to write: the worker of a pool process.
        pid: the process.
        path: the file.
    """

    parent_pid: int
    pid: int
    path: Path

    @classmethod
    def all_in(cls, directory: Path) -> list[JournalFile]:
        """The journals of all processes of a run."""
        found = []
        for path in sorted(directory.glob("*.journal")):
            parent_pid, pid = map(int, path.stem.split("-"))
            found.append(cls(parent_pid, pid, path))
        return found

    def notes(self) -> Iterator[Note]:
        """What it says, in order."""
        with self.path.open(encoding="ascii") as file:
            for line in file:
                fields = line.split()
                if len(fields) == 4 and line.endswith("\n"):  # noqa: PLR2004 - as written above
                    yield Note(What(fields[0]), int(fields[1]), int(fields[2]), float(fields[3]))
