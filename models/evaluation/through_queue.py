"""The same questions, asked of a running worker.

``models`` knows nothing of Redis: the requests go through ``python -m producer``, as JSON Lines in and out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from models.errors import QueueError
from models.evaluation.data_sets import DataSet
from models.evaluation.evaluate import requests_of
from producer.contract import ErrorCode, InvalidRequest

__all__ = ["answer_through_queue"]


def answer_through_queue(model: str, data: DataSet, arguments: list[str]) -> Iterator[list[object]]:
    """The outcomes of each request, from whatever worker takes it.

    Args:
        model: name of the model that shall answer.
        data: the rows.
        arguments: of ``python -m producer``: where the broker is, how long to wait.

    Raises:
        QueueError: an answer did not come.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        for request in requests_of(data):
            line = {"task": request.task.value, **request.to_arguments(), "model": model}
            file.write(json.dumps(line) + "\n")
        file.seek(0)
        command = [sys.executable, "-m", "producer", *arguments]
        with subprocess.Popen(  # noqa: S603 - this interpreter, arguments of our own
            command, stdin=file, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        ) as asking:
            for answer in asking.stdout or ():
                yield _outcomes(json.loads(answer))
    if asking.returncode:
        raise QueueError(f"python -m producer ended with exit status {asking.returncode}")


def _outcomes(answer: dict[str, Any]) -> list[object]:
    error = answer.get("error")
    if error and "code" not in error:
        raise QueueError(f"the worker did not answer: {error['message']}")
    results = [answer] if error else answer["result"]
    return [_as_error(item["error"]) if isinstance(item, dict) and "error" in item else item for item in results]


def _as_error(error: dict[str, Any]) -> InvalidRequest:
    return InvalidRequest.of(ErrorCode(error["code"]), error["message"], field=error.get("field"))
