"""Reads what processes report. A message of which a part was read is read to its end, whatever happens in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from celery.concurrency.asynpool import ResultHandler

from worker.pool.billiard_adapter import PoolProcess, has_output, is_alive
from worker.pool.celery_adapter import Hub

__all__ = ["PipeReader"]


class PipeReader(ResultHandler):
    """Celery's reader, which remembers partly read messages when the event loop is reset.

    Celery's own forgets them. It then takes the rest of a message for the beginning of another, and never hears of
    the process again. The results of a batch are often larger than a pipe, so their messages come in parts.
    """

    #: How long to wait for the rest of a message before checking whether its process has died, in seconds.
    partial_read_timeout = 0.1

    def __init__(self, *args: object, **kwargs: object) -> None:
        #: By file descriptor: the process, and the generator that reads its message.
        self._partial: dict[int, tuple[PoolProcess, Iterator[None]]] = {}
        super().__init__(*args, **kwargs)

    def _make_process_result(self, hub: Hub) -> Callable[[int], None]:
        """Make the function that the event loop calls when a process has written something."""

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

    def finish_partial_read(self, process: PoolProcess) -> bool:
        """Read the rest of a process's message if a part of it was read.

        Returns:
            Whether there is such a message that cannot be completed, because its process is gone.
        """
        return self._finish_partial_read(process.outqR_fd, process)

    def _finish_partial_read(self, fd: int, process: PoolProcess) -> bool:
        reading = self._pop_partial(fd, process)
        if reading is None:
            return False
        give_up_s = time.monotonic() + self.partial_read_deadline
        while True:
            try:
                next(reading)
                has_more = has_output(process, self.partial_read_timeout)
            except StopIteration:
                return False
            except (OSError, EOFError):
                return True
            if not has_more and (not is_alive(process) or time.monotonic() > give_up_s):
                return True

    def _pop_partial(self, fd: int, process: PoolProcess) -> Iterator[None] | None:
        owner, reading = self._partial.pop(fd, (None, None))
        # The descriptor of a process that has ended may belong to another process by now.
        return reading if owner is process else None
