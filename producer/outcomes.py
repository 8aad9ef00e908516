"""What a stored result says: the answer, or the error that the request ended with. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn, NotRequired, TypedDict

from redis.exceptions import RedisError

from producer import errors
from producer.connections import ACCESS_ERRORS

__all__ = [
    "KEY_PREFIX",
    "Answer",
    "RequestStatus",
    "ResultRecord",
    "answer_of",
    "broker_unavailable",
    "error_of_item",
    "finished_record",
    "late",
    "results_unavailable",
    "status_of",
]

#: Celery's backend stores a result under this key, and publishes it on the channel of the same name.
KEY_PREFIX = "celery-task-meta-"
_FINISHED_STATES = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
#: The errors that a worker stores by class name.
_REQUEST_ERRORS: dict[str, type[errors.RequestError]] = {
    cls.__name__: cls for cls in (errors.InvalidRequest, errors.UnknownModel, errors.UnknownTask, errors.ModelFailed)
}


@dataclass(frozen=True)
class Answer:
    """The result of a request, and the model that produced it.

    Attributes:
        request_id: of the message that it was sent in; ``map`` sends several requests in one.
        result: in the shape that the contract defines for the task.
        model: name, revision and arithmetic of the model that answered; None if the worker did not say.
    """

    request_id: str
    result: Any
    model: dict[str, str] | None


class RequestStatus(StrEnum):
    """How far a request has come."""

    #: No worker has reported it: it waits, or its id is unknown, or its result has expired.
    PENDING = "pending"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: No worker had started it by its deadline.
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class ResultRecord(TypedDict):
    """What Celery's result backend stores about a request (its "task meta"), as far as it is read here."""

    status: str
    result: Any
    #: Added by our workers: name, revision and arithmetic of the model that answered.
    model: NotRequired[dict[str, str] | None]
    #: Added by our workers: seconds that a process computed for this request.
    compute_s: NotRequired[float | None]


def finished_record(value: bytes | None) -> ResultRecord | None:
    """The record of a request that has ended, from its stored value; None if it has not."""
    if value is None:
        return None
    record: ResultRecord = json.loads(value)
    return record if record["status"] in _FINISHED_STATES else None


def answer_of(request_id: str, record: ResultRecord) -> Answer:
    """The answer in a finished record.

    Raises:
        CeleriacError: the request ended without one.
    """
    if record["status"] != "SUCCESS":
        _raise_failure(record)
    return Answer(request_id, record["result"], record.get("model"))


def status_of(value: bytes | None) -> RequestStatus:
    """The status in a stored value."""
    if value is None:
        return RequestStatus.PENDING
    record: ResultRecord = json.loads(value)
    if record["status"] == "REVOKED":
        return RequestStatus.EXPIRED if _has_expired(record) else RequestStatus.CANCELLED
    stated = {
        "SUCCESS": RequestStatus.SUCCEEDED,
        "FAILURE": RequestStatus.FAILED,
        "STARTED": RequestStatus.STARTED,
        "RETRY": RequestStatus.STARTED,
    }
    return stated.get(record["status"], RequestStatus.PENDING)


def error_of_item(stated: Mapping[str, Any]) -> errors.RequestError:
    """The error that is stored in place of one item's result."""
    failed = stated["code"] in {errors.ErrorCode.MODEL_FAILED, errors.ErrorCode.PROCESS_DIED}
    kind = errors.ModelFailed if failed else errors.InvalidRequest
    return kind(stated["message"], {"code": stated["code"], "field": stated["field"], "limit": stated["limit"]})


def late(request_id: str) -> errors.WaitTimeout:
    """The error of a wait that ended before the request did."""
    return errors.WaitTimeout(f"request {request_id} was not answered in time; it may still be answered later")


def broker_unavailable(error: RedisError) -> errors.BrokerUnavailable:
    """The error of a request that the broker did not take."""
    return errors.BrokerUnavailable(_explain(error, "the broker", "did not accept the request"))


def results_unavailable(error: RedisError) -> errors.ResultBackendUnavailable:
    """The error of a wait that could not read the results."""
    return errors.ResultBackendUnavailable(_explain(error, "the result backend", "did not reply"))


def _explain(error: RedisError, server: str, failure: str) -> str:
    return f"{server} {'refused the credentials' if isinstance(error, ACCESS_ERRORS) else failure}: {error}"


def _has_expired(record: ResultRecord) -> bool:
    return "expired" in record["result"]["exc_message"]


def _raise_failure(record: ResultRecord) -> NoReturn:
    failure = record["result"]
    name, arguments = failure["exc_type"], failure["exc_message"]
    if record["status"] == "REVOKED":
        if _has_expired(record):
            raise errors.DeadlineExceeded("the request expired before a worker started it")
        raise errors.RequestRevoked(f"the request was revoked: {arguments}")
    if name in _REQUEST_ERRORS:
        raise _REQUEST_ERRORS[name](*arguments)
    text = " ".join(map(str, arguments)) if isinstance(arguments, list) else str(arguments)
    raise errors.RemoteFailure(name, text)
