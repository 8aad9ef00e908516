"""Reading what processes report: a message that is there in part is read to its end, whatever happens in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from celery.concurrency.asynpool import ResultHandler

__all__ = ["ResultReader"]


class ResultReader(ResultHandler):
    """Celery's reader, which forgets what it has read of a message when the event loop is reset.

    It then takes the rest for the beginning of another message, and the process is never heard of again. The results
    of a batch are often larger than a pipe, so that its messages come in pieces.
    """

    #: Seconds to wait for more from a process that may have died in the middle of a message.
    partial_read_timeout = 0.1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: By file descriptor: the process, and the reading of its message.
        self._partial: dict[int, tuple[Any, Iterator[None]]] = {}
        super().__init__(*args, **kwargs)

    def _make_process_result(self, hub: Any) -> Callable[[int], None]:
        """What the event loop calls when a process has written something."""

        def on_result_readable(fd: int) -> None:
            process = self.fileno_to_outq.get(fd)
            if process is None:
                self._partial.pop(fd, None)
                hub.remove_reader(fd)
                return
            reading = self._pop_partial(fd, process) or self._recv_message(hub.add_reader, fd, self.on_state_change)
            try:
                next(reading)
            except StopIteration:
                pass
            except (OSError, EOFError):
                hub.remove_reader(fd)
            else:
                self._partial[fd] = process, reading

        return on_result_readable

    def finish_partial_read(self, process: Any) -> bool:
        """Read the rest of a message that a process has begun.

        Returns:
            Whether there was one that has no end, since its process is gone.
        """
        return self._finish_partial_read(process.outqR_fd, process)

    def _finish_partial_read(self, fd: int, process: Any) -> bool:
        reading = self._pop_partial(fd, process)
        if reading is None:
            return False
        give_up_s = time.monotonic() + self.partial_read_deadline
        while True:
            try:
                next(reading)
                has_more = process.outq._reader.poll(self.partial_read_timeout)  # noqa: SLF001 - as the base class
            except StopIteration:
                return False
            except (OSError, EOFError):
                return True
            if not has_more and (not process._is_alive() or time.monotonic() > give_up_s):  # noqa: SLF001
                return True

    def _pop_partial(self, fd: int, process: Any) -> Iterator[None] | None:
        owner, reading = self._partial.pop(fd, (None, None))
        # The descriptor of a process that has ended may be another's by now.
        return reading if owner is process else None
