"""Every error a caller can meet, in one tree.

The branch below :class:`RequestError` travels: a worker stores one of these classes by name with the JSON
arguments ``[message, {"code", "field", "limit"}]``, and any Celery client rebuilds it without this package.
The other branches are raised by :class:`producer.client.Client` alone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self, TypedDict

__all__ = [
    "BrokerUnavailable",
    "CeleriacError",
    "DeadlineExceeded",
    "ErrorCode",
    "ErrorDetails",
    "InvalidRedisUrl",
    "InvalidRequest",
    "ModelFailed",
    "RemoteFailure",
    "RequestError",
    "RequestRevoked",
    "ResultBackendUnavailable",
    "ServiceUnavailable",
    "UnknownModel",
    "UnknownTask",
    "WaitTimeout",
]


class ErrorCode(StrEnum):
    """What is wrong with a request; stable, meant to be branched on."""

    WRONG_TYPE = "wrong_type"
    MISSING = "missing"
    EMPTY = "empty"
    TOO_LONG = "too_long"
    TOO_MANY = "too_many"
    TOO_LARGE = "too_large"
    OUT_OF_RANGE = "out_of_range"
    NOT_ALLOWED = "not_allowed"
    INVALID_CHARACTER = "invalid_character"
    UNKNOWN_PARAMETER = "unknown_parameter"
    UNKNOWN_MODEL = "unknown_model"
    UNKNOWN_TASK = "unknown_task"
    UNREADABLE_MESSAGE = "unreadable_message"
    UNSUPPORTED_VERSION = "unsupported_version"
    TOO_MANY_TOKENS = "too_many_tokens"
    MODEL_FAILED = "model_failed"
    PROCESS_DIED = "process_died"


class ErrorDetails(TypedDict):
    """The machine-readable half of a :class:`RequestError`, as it travels in JSON."""

    code: str
    field: str | None
    limit: int | float | str | None


class CeleriacError(Exception):
    """Base of every error of this package."""


class InvalidRedisUrl(CeleriacError, ValueError):
    """The URL of a server cannot be used; the message says how to write it and repeats no part of it."""


class RequestError(CeleriacError):
    """A request that cannot be answered as it stands; sending it again unchanged gives the same error.

    Its arguments are exactly what travels, so that ``cls(*args)`` rebuilds it on the other side.
    """

    def __init__(self, message: str, details: ErrorDetails) -> None:
        super().__init__(message, details)
        self.message = message
        self.details = details

    @classmethod
    def of(
        cls, code: ErrorCode, message: str, *, field: str | None = None, limit: int | float | str | None = None
    ) -> Self:
        """An error with its details; ``limit`` is in the unit that the message names."""
        return cls(message, {"code": code.value, "field": field, "limit": limit})

    def __str__(self) -> str:
        return self.message

    @property
    def code(self) -> ErrorCode:
        """What is wrong."""
        return ErrorCode(self.details["code"])

    @property
    def field(self) -> str | None:
        """Where it is wrong, as a path into the keyword arguments such as ``inputs[3].text``."""
        return self.details["field"]

    @property
    def limit(self) -> int | float | str | None:
        """The limit that was passed, in the unit that the message names; None where there is none."""
        return self.details["limit"]


class InvalidRequest(RequestError):
    """The request breaks the contract: a wrong type, a limit passed, an unknown parameter."""


class UnknownModel(RequestError):
    """The request names a model that the worker does not serve."""


class UnknownTask(RequestError):
    """The message names a task that is not in the contract."""


class ModelFailed(RequestError):
    """The model raised while it computed this request."""


class DeadlineExceeded(CeleriacError):
    """The request's deadline (Celery's ``expires``) had passed before a worker began to compute it."""


class RequestRevoked(CeleriacError):
    """An operator revoked the request."""


class RemoteFailure(CeleriacError):
    """The request ended in a failure of the worker, such as ``TimeLimitExceeded`` or ``WorkerLostError``.

    ``name`` is the name of the remote exception.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name, message)
        self.name = name

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"


class WaitTimeout(CeleriacError):
    """No answer arrived in the time given to ``wait``; the request itself may still be answered later."""


class ServiceUnavailable(CeleriacError):
    """A server did not answer before the deadline of the call, or refused the credentials.

    A refusal is raised at once, and the message says so; trying again does not mend it.
    """


class BrokerUnavailable(ServiceUnavailable):
    """The request could not be confirmed as enqueued.

    After a time-out it may have been enqueued all the same: submitting it again under the same id is safe.
    """


class ResultBackendUnavailable(ServiceUnavailable):
    """The result backend could not be asked."""
