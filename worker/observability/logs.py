"""Log lines as one JSON object each, where the settings ask for it; else they are Celery's own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from billiard import current_process
from billiard.util import get_logger as get_billiard_logger
from celery import signals
from celery.apps import worker as celery_worker
from kombu.utils.encoding import safe_repr

from config import Settings
from config.settings import LogFormat
from worker.observability.log_subject import subject_of

__all__ = ["JsonFormatter", "as_json_line", "connect", "say"]

logger = logging.getLogger(__name__)


class JsonFormatter(logging.Formatter):
    """Time, level, logger, pid, process and message, and the request or requests that the line is about."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON, whatever is in the record."""
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
            except Exception as error:  # noqa: BLE001 - the rest of the line is still worth reading
                line.setdefault("message", safe_repr(record.msg))
                line["format_error"] = type(error).__name__
        return _as_json(line)

    def _exception_of(self, record: logging.LogRecord) -> dict[str, object]:
        # Celery and billiard pass tuples of nothing, too.
        if not record.exc_info or record.exc_info[0] is None:
            return {}
        return {"exception": self.formatException(record.exc_info)}


def connect(settings: Settings) -> None:
    """Use the format of the settings for everything that a worker says."""
    if settings.log.format is LogFormat.JSON:
        signals.celeryd_init.connect(_before_logging, weak=False, dispatch_uid="celeriac.logs.early")
        for signal in (signals.after_setup_logger, signals.after_setup_task_logger):
            signal.connect(_format_as_json, weak=False, dispatch_uid="celeriac.logs")


def as_json_line(message: str, level: int = logging.CRITICAL) -> str:
    """What a worker says beside its logging, most often since it ends before it has any."""
    about = {"name": __name__, "levelname": logging.getLevelName(level), "levelno": level, "msg": message}
    return JsonFormatter().format(logging.makeLogRecord(about))


def say(message: str, level: int = logging.CRITICAL) -> None:
    """Say something before Celery has set logging up, most often why this worker ends."""
    is_json = any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)
    print(as_json_line(message, level) if is_json else f"celeriac: {message}", file=sys.stderr, flush=True)


def _before_logging(instance: Any, **_: object) -> None:
    """Celery sets logging up late: until then warnings, and what we say, go through a handler of this kind too."""
    # The banner is a drawing.
    instance.quiet = True
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    # Celery takes it away again (worker_hijack_root_logger).
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(capture=True)
    # What it says of a shutdown, in a handler of signals, it writes by itself.
    celery_worker.safe_say = _say_in_signal_handler
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _format_as_json(logger: logging.Logger, **_: object) -> None:
    # The pool's logger has a handler of its own, of which Celery tells nobody.
    for handler in [*logger.handlers, *get_billiard_logger().handlers]:
        handler.setFormatter(JsonFormatter())


def _say_in_signal_handler(message: str, *_: object) -> None:
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"{as_json_line(message, logging.INFO)}\n".encode())


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logger.critical("uncaught %s", kind.__name__, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        where = args.thread.name if args.thread else "?"
        exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
        logger.critical("uncaught %s in thread %s", args.exc_type.__name__, where, exc_info=exc_info)


def _message_of(record: logging.LogRecord) -> dict[str, object]:
    return {"message": record.getMessage()}


def _as_json(line: dict[str, object]) -> str:
    try:
        # Escapes: half a surrogate pair, which a text may have, cannot be written.
        return json.dumps(line, default=safe_repr)
    except (TypeError, ValueError, RecursionError):
        simple = {name: value if isinstance(value, (str, int)) else safe_repr(value) for name, value in line.items()}
        return json.dumps(simple)
