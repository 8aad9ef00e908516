"""How many processes a worker starts with, and the range in which it scales.

The command line takes precedence over the settings. Without either, the cores and then the memory decide.
"""

from __future__ import annotations

import logging

from celery.worker import WorkController
from celery.worker.autoscale import Autoscaler as CeleryAutoscaler

from config import Settings
from worker.boot.memory_bound import MemoryBound
from worker.cores.leases import LeaseRequest
from worker.observability import logs

__all__ = ["ProcessCount"]


class ProcessCount:
    """The number of processes of one worker.

    Args:
        worker: Celery's worker.
        settings: its settings.
        request: the cores that the worker may lease.
        memory: how many processes fit into memory.
        grows: whether the pool leases cores when it grows, which Celery's own pool does not.
    """

    def __init__(
        self, worker: WorkController, settings: Settings, request: LeaseRequest, memory: MemoryBound, *, grows: bool
    ) -> None:
        self._worker = worker
        self._processes = settings.processes
        self._request = request
        self._memory = memory
        self._grows = grows

    def warn_of_memory(self) -> None:
        """Warn the operator if the processes do not fit into memory."""
        options = self._worker.options
        autoscale, concurrency = options.get("autoscale"), options.get("concurrency")
        explicit = autoscale[0] if autoscale else concurrency or self._processes.max
        least = self._processes.min
        if not explicit and least and self._memory.bound(least) < least:
            explicit = least
        wanted = min(int(explicit or self._worker.concurrency), self._request.most_sets)
        warning = self._memory.warning(wanted, is_explicit=bool(explicit))
        if warning is not None:
            logs.write_to_stderr(warning, logging.WARNING)

    def set_range(self) -> None:
        """Use the range of the settings if the command line gives neither a range nor a number."""
        options, least = self._worker.options, self._processes.min
        if least is not None and not options.get("autoscale") and not options.get("concurrency"):
            most = self._processes.max or max(least, self._memory.bound(self._request.most_sets))
            options["autoscale"] = (most, least)

    def initial(self) -> int:
        """The number of processes to start with."""
        options, concurrency = self._worker.options, int(self._worker.concurrency)
        if autoscale := options.get("autoscale"):
            most, least = autoscale
            return max(1, least) if self._grows else int(most)
        if options.get("concurrency"):
            return concurrency
        if self._processes.max is None:
            return self._memory.bound(concurrency)
        return min(concurrency, self._processes.max)

    @property
    def most(self) -> int:
        """How many processes there may be."""
        autoscale = self._worker.options.get("autoscale")
        return int(autoscale[0] if autoscale else self._worker.concurrency)

    def apply(self, leased: int) -> None:
        """Give the worker as many processes as it has core sets."""
        worker = self._worker
        worker.concurrency = min(worker.concurrency, leased)
        if autoscale := worker.options.get("autoscale"):
            most, least = autoscale
            worker.options["autoscale"] = (
                min(most, max(leased, self._request.most_sets) if self._grows else leased),
                min(max(1, least), leased),
            )
            if not self._grows:
                worker.autoscaler_cls = CeleryAutoscaler
