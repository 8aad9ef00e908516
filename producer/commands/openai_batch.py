"""The lines of OpenAI's batch files: what comes in, and what goes to the output file and to the error file."""

from __future__ import annotations

import re
from typing import Any

from producer.chunks import Outcome
from producer.commands.request_maker import MadeRequest, RequestMaker, read_object
from producer.errors import ErrorCode, InvalidRequest, ModelFailed, RequestError
from producer.outcomes import Answer

__all__ = ["answer_line", "error_line", "made_from_batch_line"]

_URL_PREFIX = "/v1/"
_BAD_REQUEST, _NOT_FOUND, _SERVER_ERROR, _OK = 400, 404, 500, 200
_UNKNOWN = frozenset({ErrorCode.UNKNOWN_MODEL.value, ErrorCode.UNKNOWN_TASK.value})


def made_from_batch_line(maker: RequestMaker, line: str) -> MadeRequest:
    """The request of ``{"custom_id", "method", "url", "body"}``: ``/v1/`` and the task, and its parameters."""
    values = read_object(line)
    if isinstance(values, InvalidRequest):
        return None, values
    key, url, body = values.get("custom_id"), values.get("url"), values.get("body")
    if not isinstance(key, str):
        return key, InvalidRequest.of(ErrorCode.WRONG_TYPE, "custom_id: must be a string", field="custom_id")
    if values.get("method") != "POST":
        return key, InvalidRequest.of(ErrorCode.NOT_ALLOWED, "method: must be POST", field="method", limit="POST")
    if not isinstance(body, dict):
        return key, InvalidRequest.of(ErrorCode.WRONG_TYPE, "body: must be an object", field="body")
    task = url.removeprefix(_URL_PREFIX) if isinstance(url, str) and url.startswith(_URL_PREFIX) else None
    made = maker.of(task, body)
    if isinstance(made, InvalidRequest) and made.details["code"] == ErrorCode.UNKNOWN_TASK:
        tasks = made.message.removeprefix("task: must be one of ")
        made = InvalidRequest.of(ErrorCode.UNKNOWN_TASK, f"url: must be {_URL_PREFIX} and one of {tasks}", field="url")
    return key, made


def answer_line(line_id: str, key: object, answer: Answer) -> dict[str, Any]:
    """A line of the output file."""
    body = {"result": answer.result, "model": answer.model}
    response = {"status_code": _OK, "request_id": answer.request_id, "body": body}
    return {"id": line_id, "custom_id": key, "response": response, "error": None}


def error_line(line_id: str, key: object, error: Outcome) -> dict[str, Any]:
    """A line of the error file. What no HTTP status describes is told in ``error``."""
    if not isinstance(error, RequestError):
        code = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
        return {"id": line_id, "custom_id": key, "response": None, "error": {"code": code, "message": str(error)}}
    stated = error.details
    failed = isinstance(error, ModelFailed)
    status = _SERVER_ERROR if failed else _NOT_FOUND if stated["code"] in _UNKNOWN else _BAD_REQUEST
    body = {
        "message": error.message,
        "type": "server_error" if failed else "invalid_request_error",
        "param": stated["field"],
        "code": stated["code"],
    }
    response = {"status_code": status, "request_id": line_id, "body": {"error": body}}
    return {"id": line_id, "custom_id": key, "response": response, "error": None}
