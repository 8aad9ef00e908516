"""Our control commands. ``celery -A worker control --list`` shows them with Celery's own."""

from __future__ import annotations

from typing import Any

from celery.utils.serialization import strtobool
from celery.worker.control import control_command

from worker.control.late_reply import LateReply
from worker.control.reloader import begin_exchange
from worker.exchange.model_exchange import ExchangeOutcome, ExchangeReport

__all__ = ["register_commands"]


def register_commands() -> None:
    """Add the commands to Celery's registry, which all apps of a process share."""
    control_command(args=[("wait", strtobool)], signature="[wait=false]")(reload_models)


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


def _reply(report: ExchangeReport) -> dict[str, str]:
    return {"error" if report.is_failure else "ok": report.message}
