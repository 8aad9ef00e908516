"""The same requests, answered by a running worker.

``models`` does not depend on Redis: requests go through ``python -m producer``, as JSON Lines in and out.
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
from models.pipelines.base import ItemResult
from producer.contract import ErrorCode, InvalidRequest

__all__ = ["answer_through_queue"]


def answer_through_queue(model: str, data: DataSet, arguments: list[str]) -> Iterator[list[ItemResult]]:
    """Answer the requests of ``data`` by whichever worker fetches them.

    Args:
        model: name of the model to use.
        data: the rows.
        arguments: for ``python -m producer``: the broker, the timeout.

    Returns:
        The results of each of :meth:`DataSet.requests`, in order.

    Raises:
        QueueError: a request was not answered.
        InvalidDataError: some rows are not a valid request.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        for request in data.requests():
            line = {"task": request.task.value, **request.to_arguments(), "model": model}
            file.write(json.dumps(line) + "\n")
        file.seek(0)
        command = [sys.executable, "-m", "producer", *arguments]
        with subprocess.Popen(  # noqa: S603 - this interpreter, arguments of our own
            command, stdin=file, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        ) as process:
            for reply in process.stdout or ():
                yield _results(json.loads(reply))
    if process.returncode:
        raise QueueError(f"python -m producer ended with exit status {process.returncode}")


def _results(reply: dict[str, Any]) -> list[ItemResult]:
    error = reply.get("error")
    if error and "code" not in error:
        raise QueueError(f"the worker did not answer: {error['message']}")
    results = [reply] if error else reply["result"]
    return [_as_error(item["error"]) if isinstance(item, dict) and "error" in item else item for item in results]


def _as_error(error: dict[str, Any]) -> InvalidRequest:
    return InvalidRequest.of(ErrorCode(error["code"]), error["message"], field=error.get("field"))
