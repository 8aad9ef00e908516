"""Named steps on the way of a message, and traps that kill a process with SIGKILL when it passes one."""

from __future__ import annotations

import mmap
import os
import signal
from enum import IntEnum
from pathlib import Path

from benchmarks.chaos.journal import Journal

__all__ = ["PARENT_STEPS", "PROCESS_STEPS", "Step", "Trap", "TrapFile"]

#: Names the trap of a worker; only the apps of this package read it.
TRAP_VARIABLE = "CHAOS_TRAP"
_BYTES = 8


class Step(IntEnum):
    """What has just been done when a process passes the step."""

    #: The parent has sent a call that fetches.
    FETCH_SENT = 1
    #: The server has recorded what it gave out, and the parent has read the reply; nothing is delivered.
    FETCHED = 2
    #: A message is in the pool, and no process has it.
    DELIVERED = 3
    #: A process has the batch, and begins.
    RUN_BEGINS = 4
    #: The batch is computed, and no result is stored.
    RUN_ENDED = 5
    #: Everything is ready to be stored, links and retries are sent.
    STORE_BEGINS = 6
    #: The results are stored, and the parent does not know.
    STORED = 7
    #: The result of a chord's member is stored, and not counted for the chord.
    CHORD_BEGINS = 8
    #: It is counted, and its message not acknowledged.
    CHORD_ENDED = 9
    #: The parent has read the report of a batch, and acknowledged nothing.
    REPORTED = 10
    #: An acknowledgement waits for the next call.
    ACK_WAITS = 11
    #: A call with acknowledgements is sent, and its reply not read.
    ACK_SENT = 12


PROCESS_STEPS = (
    Step.RUN_BEGINS,
    Step.RUN_ENDED,
    Step.STORE_BEGINS,
    Step.STORED,
    Step.CHORD_BEGINS,
    Step.CHORD_ENDED,
)
PARENT_STEPS = (
    Step.FETCH_SENT,
    Step.FETCHED,
    Step.DELIVERED,
    Step.REPORTED,
    Step.ACK_WAITS,
    Step.ACK_SENT,
)


class TrapFile:
    """The trap of one worker as the run sets it: which step kills, and how often it is passed before.

    Args:
        path: a file that the worker's processes map.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _BYTES)

    def set(self, step: Step, passings: int) -> None:
        """Kill whoever passes ``step`` for the ``passings``-th time from now on."""
        self._map[1:5] = passings.to_bytes(4, "little")
        self._map[0] = step

    def clear(self) -> None:
        """Kill nobody."""
        self._map[0] = 0

    @property
    def is_set(self) -> bool:
        """Whether nobody was killed yet."""
        return self._map[0] != 0

    def is_sprung_by(self, step: Step) -> bool:
        """Count a passing.

        Returns:
            Whether it is the one that kills. The trap is not set any more then.
        """
        if self._map[0] != step:
            return False
        left = int.from_bytes(self._map[1:5], "little") - 1
        self._map[1:5] = max(left, 0).to_bytes(4, "little")
        if left > 0:
            return False
        self._map[0] = 0
        return True


class Trap:
    """The trap of the worker that this process belongs to.

    Args:
        file: None if the worker has none.
        journal: where the end is written down.
    """

    def __init__(self, file: TrapFile | None, journal: Journal) -> None:
        self._file = file
        self._journal = journal

    @classmethod
    def of_environment(cls) -> Trap:
        """The trap that the environment names."""
        path = os.environ.get(TRAP_VARIABLE)
        return cls(TrapFile(Path(path)) if path else None, Journal.of_environment())

    def passing(self, step: Step) -> None:
        """Say that this process passes a step. It may not survive that."""
        if self._file is not None and self._file.is_sprung_by(step):
            self._journal.killed_at(step)
            os.kill(os.getpid(), signal.SIGKILL)
