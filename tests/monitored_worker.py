"""A worker whose pages are read as Prometheus, a kubelet and KEDA read them."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from examples.local_stack import PATIENCE_S, LocalWorker, free_port

__all__ = ["MonitoredWorker"]


class MonitoredWorker(LocalWorker):
    """A worker with a port of its own.

    Args:
        arguments: further arguments of ``celery -A worker worker``.
        environment: further variables.
        launcher: a program with arguments that runs the worker's command.
    """

    def __init__(
        self,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        launcher: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        variables = {**(environment or {}), "CELERIAC_METRICS_PORT": str(self.port)}
        super().__init__(arguments, variables, launcher=launcher)

    def get(self, path: str, accept: str = "") -> tuple[int, str]:
        """Status and text of a page."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:  # noqa: S310 - of this machine
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def json(self, path: str) -> tuple[int, Any]:
        """Status and value of a page."""
        status, text = self.get(path)
        return status, json.loads(text)

    def is_ready(self) -> bool:
        """Whether ``/readyz`` says so."""
        return self.get("/readyz")[0] == 200

    def reasons(self) -> str:
        """Why it is not ready."""
        return " ".join(self.json("/readyz")[1]["reasons"])

    def samples(self) -> list[Sample]:
        """Everything that ``/metrics`` has, read by the official parser."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        return [sample for family in families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        found = [sample for sample in self.samples() if sample.name == f"celeriac_{name}"]
        return sum(sample.value for sample in found if labels.items() <= sample.labels.items())

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Its processes stand still until the end of the block, so that requests wait."""
        pids = list(self.processes.values())
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
