"""Which pools a worker of ours accepts."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from celery.concurrency.base import BasePool
from celery.concurrency.prefork import TaskPool as PreforkPool

from worker.boot import preflight
from worker.boot.refusal import EXIT_CANNOT_START
from worker.pool import TaskPool


@pytest.mark.parametrize("pool", ["gevent", "eventlet", "solo", "thread"])
def test_a_pool_without_processes_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pool: str
) -> None:
    # Neither gevent nor eventlet need be installed for this.
    module = ModuleType(f"celery.concurrency.{pool}")
    module.TaskPool = type("TaskPool", (BasePool,), {"__module__": module.__name__})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)

    with pytest.raises(SystemExit) as refused:
        preflight._check_pool(f"celery.concurrency.{pool}:TaskPool")

    assert refused.value.code == EXIT_CANNOT_START
    assert f"celery.concurrency.{pool} cannot be pinned" in capsys.readouterr().err


@pytest.mark.parametrize(("pool", "grows"), [(TaskPool, True), (PreforkPool, False), ("worker.pool:TaskPool", True)])
def test_a_pool_of_processes_is_accepted_and_only_ours_leases_cores_later(pool: object, grows: bool) -> None:
    assert preflight._check_pool(pool) == grows
