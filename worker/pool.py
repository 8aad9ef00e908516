"""Celery's prefork pool, with an eye on processes that cannot start.

A process that dies before it reports that it is up has not served anything and never will: after
:data:`MAX_FAILED_STARTS` of those in a row the worker stops with an error instead of forking for ever.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from typing import Any

from billiard.common import human_status
from celery.concurrency import prefork
from celery.concurrency.asynpool import AsynPool
from celery.worker import state

from worker import startup
from worker.start_reports import StartReport

__all__ = ["MAX_FAILED_STARTS", "TaskPool"]

logger = logging.getLogger(__name__)

#: Failed starts in a row after which the worker stops.
MAX_FAILED_STARTS = 3


class PinnedPool(AsynPool):
    """The pool of processes; its indices are those of the worker's core sets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Start reports of the processes that are up, by pid.
        self.started: dict[int, StartReport] = {}
        self._failed_starts = 0
        self._causes: dict[int, str] = {}
        self.on_process_down: Callable[[Any], None]
        super().__init__(*args, **kwargs)

    def grow(self, n: int = 1) -> None:
        """Add processes.

        Raises:
            ValueError: the worker has not leased cores for so many.
        """
        most = len(startup.prepared().leases.sets)
        if self._processes + n > most:
            raise ValueError(f"cannot grow by {n}: this worker leased cores for {most} processes")
        super().grow(n)

    def register_with_event_loop(self, hub: Any) -> None:
        """Watch the first processes too: Celery bounds the start of those only that come later."""
        super().register_with_event_loop(hub)
        for process in self._pool:
            if process.pid not in self.started:
                hub.call_later(self._proc_alive_timeout, self._end_if_not_up, process.pid)

    def on_process_alive(self, pid: int) -> None:
        """A process has reported that it is up: its models are warm, and it gets work from now on."""
        super().on_process_alive(pid)
        self._read_reports()
        self._failed_starts = 0
        if len(self.started) == self._processes:
            logger.info("all %d processes are ready", self._processes)

    def _create_process_handlers(self, hub: Any) -> None:
        super()._create_process_handlers(hub)
        handle_down: Callable[[Any], None] = self.on_process_down

        def on_process_down(process: Any) -> None:
            handle_down(process)
            self._note_exit(process)

        self.on_process_down = on_process_down

    def _note_exit(self, process: Any) -> None:
        self._read_reports()
        if self.started.pop(process.pid, None) is not None or self._state != prefork.RUN:
            return
        cause = self._causes.pop(process.pid, f"it ended with {human_status(process.exitcode)} while it loaded")
        self._failed_starts += 1
        logger.error("process %d could not start (%d in a row): %s", process.pid, self._failed_starts, cause)
        if self._failed_starts >= MAX_FAILED_STARTS:
            logger.critical("stopping: %d processes in a row could not start; the last: %s", MAX_FAILED_STARTS, cause)
            state.should_stop = os.EX_SOFTWARE

    def _read_reports(self) -> None:
        for report in startup.prepared().reports.receive():
            if report.cause is None:
                self.started[report.pid] = report
            else:
                self._causes[report.pid] = report.cause

    def _end_if_not_up(self, pid: int) -> None:
        self._read_reports()
        if pid not in self.started and any(process.pid == pid for process in self._pool):
            logger.error("process %d did not report that it is up in %g s", pid, self._proc_alive_timeout)
            os.kill(pid, signal.SIGKILL)


class TaskPool(prefork.TaskPool):
    """``worker_pool``: what Celery instantiates."""

    Pool = PinnedPool

    def did_start_ok(self) -> bool:
        """Whether to go on after the fork: always, since :class:`PinnedPool` counts the starts that fail.

        Celery would end the worker at the first one that fails early, and never at one that fails late.
        """
        return True

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()
        info["cores"] = {str(pid): list(report.cores) for pid, report in self._pool.started.items()}
        info["start-seconds"] = {str(pid): round(r.seconds, 3) for pid, r in self._pool.started.items()}
        return info
