"""How many processes a worker starts with, and between which bounds it scales.

The command line comes before the settings, and both before what fits: cores, then memory.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.worker.autoscale import Autoscaler as CeleryAutoscaler

from config import Settings
from worker.boot.memory_bound import MemoryBound
from worker.cores.leases import LeaseRequest
from worker.observability import logs

__all__ = ["ProcessCount"]


class ProcessCount:
    """Decides for one worker.

    Args:
        worker: Celery's worker.
        settings: its settings.
        request: what it leases cores from.
        memory: how many processes fit into the memory.
        grows: whether its pool leases cores for processes that come later, which Celery's own does not.
    """

    def __init__(
        self, worker: Any, settings: Settings, request: LeaseRequest, memory: MemoryBound, *, grows: bool
    ) -> None:
        self._worker = worker
        self._processes = settings.processes
        self._request = request
        self._memory = memory
        self._grows = grows

    def warn_of_memory(self) -> None:
        """Tell the operator where the memory does not suffice."""
        options = self._worker.options
        autoscale, concurrency = options.get("autoscale"), options.get("concurrency")
        explicit = autoscale[0] if autoscale else concurrency or self._processes.max
        least = self._processes.min
        if not explicit and least and self._memory.bound(least) < least:
            explicit = least
        wanted = min(int(explicit or self._worker.concurrency), self._request.most_sets)
        remark = self._memory.remark(wanted, is_explicit=bool(explicit))
        if remark is not None:
            logs.say(remark, logging.WARNING)

    def set_range(self) -> None:
        """Scale by the settings where the command line gives neither a range nor a number."""
        options, least = self._worker.options, self._processes.min
        if least is not None and not options.get("autoscale") and not options.get("concurrency"):
            most = self._processes.max or max(least, self._memory.bound(self._request.most_sets))
            options["autoscale"] = (most, least)

    def first(self) -> int:
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
