"""Our control commands. ``celery -A worker control --list`` shows them with Celery's own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from celery.utils.serialization import strtobool
from celery.worker.control import control_command

from worker.control.late_reply import LateReply
from worker.control.reloader import begin_exchange
from worker.exchange.model_exchange import ExchangeOutcome, ExchangeReport
from worker.runtime import runtime_of

__all__ = ["register_commands"]

logger = logging.getLogger(__name__)


def register_commands() -> None:
    """Add the commands to Celery's registry, which all apps of a process share."""
    control_command(args=[("wait", strtobool)], signature="[wait=false]")(reload_models)
    control_command(args=[("request_ids", str)], signature="[id1 [id2 [… [idN]]]]", variadic="request_ids")(
        cancel_requests
    )


def reload_models(state: Any, wait: bool = False) -> object:
    """Check newly prepared models, and load them in one process after another.

    Args:
        state: what Celery passes to every command.
        wait: whether to reply when every process has loaded them, or at once.
    """
    late = LateReply()
    report = begin_exchange(state.consumer, lambda end: late.give(_reply(end)))
    if wait and report.outcome is ExchangeOutcome.STARTED:
        return late
    return _reply(report)


def cancel_requests(state: Any, request_ids: Sequence[str]) -> object:
    """Have requests looked up before they are computed: their sender has cancelled them.

    Args:
        state: what Celery passes to every command.
        request_ids: the requests. What counts is whether the server of the results has them as cancelled.
    """
    runtime_of(state.app).cancellations.hear(request_ids)
    logger.info("cancelled by their senders: %s", ", ".join(request_ids), extra={"task_ids": list(request_ids)})
    return {"ok": f"{len(request_ids)} requests are looked up"}


def _reply(report: ExchangeReport) -> dict[str, str]:
    return {"error" if report.is_failure else "ok": report.message}
