"""The check of new revisions, as the parent sees it: a process that it starts, and asks from time to time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from worker.exchange.candidate import CheckedModel
from worker.exchange.errors import ExchangeError

__all__ = ["RevisionCheck"]

_MAX_CAUSE_CHARACTERS = 800
_READ_BYTES = 65536


class RevisionCheck:
    """Starts a process that loads the models in some directories and has them answer.

    Args:
        directories: of the models.
        cores: what the process may use.
        limit_s: how long it may take.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, directories: Sequence[Path], cores: Sequence[int], limit_s: float) -> None:
        self._limit_s = limit_s
        self._end_s = time.monotonic() + limit_s
        command = [sys.executable, "-m", "worker.exchange.candidate", ",".join(map(str, cores))]
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, arguments of our own
            [*command, *map(str, directories)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # What ends the worker, such as Ctrl-C, ends the check through the worker.
            start_new_session=True,
        )
        self._output = bytearray()
        os.set_blocking(self._pipe.fileno(), False)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def poll(self) -> list[CheckedModel] | None:
        """What has passed; None while the check goes on.

        Raises:
            ExchangeError: a model has not passed.
        """
        status = self._process.poll()
        self._read()
        if status is None:
            if time.monotonic() > self._end_s:
                self.stop()
                raise ExchangeError(f"its check did not end within {self._limit_s:g} s")
            return None
        self._pipe.close()
        # OpenVINO may have written something before it crashed.
        last_line = (self._output.decode(errors="replace").strip().splitlines() or ["it wrote nothing"])[-1]
        try:
            found: dict[str, Any] = json.loads(last_line)
            passed = found.get("passed")
        except (ValueError, AttributeError):
            raise ExchangeError(f"its check ended with status {status}: {last_line[:_MAX_CAUSE_CHARACTERS]}") from None
        if passed is None:
            raise ExchangeError(str(found.get("problem"))[:_MAX_CAUSE_CHARACTERS])
        return [CheckedModel.read(fields) for fields in passed]

    def stop(self) -> None:
        """End the check, whatever it does."""
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        self._pipe.close()

    @property
    def _pipe(self) -> IO[bytes]:
        if self._process.stdout is None:
            raise RuntimeError("the process was started without a pipe")
        return self._process.stdout

    def _read(self) -> None:
        """Read what is there, so that the process never waits for us."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._pipe.fileno(), _READ_BYTES):
                self._output += data
