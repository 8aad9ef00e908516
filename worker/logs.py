"""Log lines as one JSON object each, where the settings ask for it."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from celery import current_task, signals

from config import Settings
from config.settings import LogFormat

__all__ = ["JsonFormatter", "connect"]


class JsonFormatter(logging.Formatter):
    """Time, level, logger, process, message, and the id of the task that is running."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        data = getattr(record, "data", None)
        task_id = data.get("id") if isinstance(data, dict) else None
        if task_id or (current_task and current_task.request):
            line["task_id"] = task_id or current_task.request.id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def connect(settings: Settings) -> None:
    """Use the format of the settings for all of the worker's log handlers."""
    if settings.log.format is LogFormat.JSON:
        for signal in (signals.after_setup_logger, signals.after_setup_task_logger):
            signal.connect(_format_as_json, weak=False, dispatch_uid="celeriac.logs")


def _format_as_json(logger: logging.Logger, **_: object) -> None:
    for handler in logger.handlers:
        handler.setFormatter(JsonFormatter())
