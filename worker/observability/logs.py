"""Formats log lines as JSON objects, one per line, if the settings ask for it; otherwise they are Celery's."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType

from billiard import current_process
from billiard.util import get_logger as get_billiard_logger
from celery import signals
from celery.apps import worker as celery_worker
from celery.worker import WorkController
from kombu.utils.encoding import safe_repr

from config import Settings
from config.settings import LogFormat
from worker.observability.log_subject import subject_of

__all__ = ["JsonFormatter", "as_json_line", "connect", "write_to_stderr"]

logger = logging.getLogger(__name__)


class JsonFormatter(logging.Formatter):
    """Formats time, level, logger, pid, process, message, and the request or requests that the line is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line of JSON, whatever it contains."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
        }
        index = getattr(current_process(), "index", None)
        if index is not None:
            line["process"] = index
        for part in (_message_of, subject_of, self._exception_of):
            try:
                line |= part(record)
            except Exception as error:  # noqa: BLE001 - the rest of the line is still useful
                line.setdefault("message", safe_repr(record.msg))
                line["format_error"] = type(error).__name__
        return _as_json(line)

    def _exception_of(self, record: logging.LogRecord) -> dict[str, object]:
        # Celery and billiard also pass (None, None, None).
        if not record.exc_info or record.exc_info[0] is None:
            return {}
        return {"exception": self.formatException(record.exc_info)}


def connect(settings: Settings) -> None:
    """Use the format of the settings for everything that a worker logs."""
    if settings.log.format is LogFormat.JSON:
        signals.celeryd_init.connect(_set_up_early, weak=False, dispatch_uid="celeriac.logs.early")
        for signal in (signals.after_setup_logger, signals.after_setup_task_logger):
            signal.connect(_format_as_json, weak=False, dispatch_uid="celeriac.logs")


def as_json_line(message: str, level: int = logging.CRITICAL) -> str:
    """A message outside of logging as a line of JSON, for a worker that ends before it has logging."""
    fields = {"name": __name__, "levelname": logging.getLevelName(level), "levelno": level, "msg": message}
    return JsonFormatter().format(logging.makeLogRecord(fields))


def write_to_stderr(message: str, level: int = logging.CRITICAL) -> None:
    """Write a message before Celery has set up logging, for example why this worker ends."""
    is_json = any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)
    print(as_json_line(message, level) if is_json else f"celeriac: {message}", file=sys.stderr, flush=True)


def _set_up_early(instance: WorkController, **_: object) -> None:
    """Log warnings and uncaught errors as JSON from the beginning, since Celery sets up logging late."""
    # The banner is not JSON.
    instance.quiet = True
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    # Celery removes it when it sets up logging (worker_hijack_root_logger).
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(capture=True)
    # Celery's signal handlers announce a shutdown without logging.
    celery_worker.safe_say = _write_in_signal_handler
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _format_as_json(logger: logging.Logger, **_: object) -> None:
    # The pool's logger has its own handler, which Celery passes to no signal.
    for handler in [*logger.handlers, *get_billiard_logger().handlers]:
        handler.setFormatter(JsonFormatter())


def _write_in_signal_handler(message: str, *_: object) -> None:
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"{as_json_line(message, logging.INFO)}\n".encode())


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logger.critical("uncaught %s", kind.__name__, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        name = args.thread.name if args.thread else "?"
        exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
        logger.critical("uncaught %s in thread %s", args.exc_type.__name__, name, exc_info=exc_info)


def _message_of(record: logging.LogRecord) -> dict[str, object]:
    return {"message": record.getMessage()}


def _as_json(line: dict[str, object]) -> str:
    try:
        # With escapes, since a text may contain unpaired surrogates, which cannot be encoded.
        return json.dumps(line, default=safe_repr)
    except (TypeError, ValueError, RecursionError):
        simple = {name: value if isinstance(value, (str, int)) else safe_repr(value) for name, value in line.items()}
        return json.dumps(simple)
