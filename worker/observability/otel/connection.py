"""What has to happen in the parent and in each process for spans."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import signals

from producer.contract.telemetry import current_tracer
from worker.observability.otel.spans import RECEIVED_AT, RequestSpans

__all__ = ["connect"]

logger = logging.getLogger(__name__)

#: How long a process that ends waits for its last spans.
_FLUSH_MS = 2000
_RECEPTION = "celeriac.otel.reception"


def connect() -> None:
    """Make spans in the processes of this worker.

    The parent makes none. A connection of its exporter would be shared by the processes that are forked afterwards.
    """
    signals.celeryd_init.connect(_start_parent, weak=False, dispatch_uid="celeriac.otel.parent")
    signals.worker_process_init.connect(_start_process, weak=False, dispatch_uid="celeriac.otel.process")
    # Pool processes end without Python's atexit handlers.
    signals.worker_process_shutdown.connect(_flush, weak=False, dispatch_uid="celeriac.otel.flush")


def _start_parent(**_: object) -> None:
    signals.task_received.connect(_note_reception, weak=False, dispatch_uid=_RECEPTION)


def _start_process(**_: object) -> None:
    RequestSpans().connect()


def _note_reception(request: Any, **_: object) -> None:
    """Tell the process when a request was received, which only the parent knows."""
    if current_tracer() is None:
        signals.task_received.disconnect(dispatch_uid=_RECEPTION)
    else:
        request.request_dict[RECEIVED_AT] = time.time()


def _flush(**_: object) -> None:
    """Send what the provider still has, for up to two seconds."""
    if current_tracer() is None:
        return
    from opentelemetry import trace

    # The API knows no flush; the SDK does.
    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush is None:
        return
    try:
        flush(_FLUSH_MS)
    except Exception:
        logger.warning("could not send the last spans of this process", exc_info=True)
