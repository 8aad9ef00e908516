"""All errors that a caller can get, in one hierarchy.

A worker stores :class:`RequestError` and its subclasses in the result, by module, class name and the JSON arguments
``[message, {"code", "field", "limit"}]``. Any Celery client can rebuild them, even without this package. The module and
class names are therefore part of the contract. All other errors are raised only by :class:`producer.client.Client`.
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
    "NotDurable",
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
    """What is wrong with a request. Stable: program against these codes, not against messages."""

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
    """The machine-readable part of a :class:`RequestError`, as stored in JSON.

    Attributes:
        code: a value of :class:`ErrorCode`; one from a newer worker may be unknown here.
        field: see :attr:`RequestError.field`.
        limit: see :attr:`RequestError.limit`.
    """

    code: str
    field: str | None
    limit: int | float | str | None


class CeleriacError(Exception):
    """Base class of all errors of this package."""


class InvalidRedisUrl(CeleriacError, ValueError):
    """A server URL cannot be used. The message says how to write it and repeats no part of it."""


class RequestError(CeleriacError):
    """A request cannot be answered. Sending it again unchanged gives the same error.

    ``cls(*args)`` rebuilds it: its arguments are exactly what a worker stores.

    Args:
        message: for people; begins with the field, if there is one.
        details: for programs.
    """

    def __init__(self, message: str, details: ErrorDetails) -> None:
        super().__init__(message, details)
        self.message = message
        self.details = details

    @classmethod
    def of(
        cls, code: ErrorCode, message: str, *, field: str | None = None, limit: int | float | str | None = None
    ) -> Self:
        """Make an error from its parts.

        Args:
            code: what is wrong.
            message: for people; it must not repeat the request's text.
            field: where it is wrong; see :attr:`field`.
            limit: the limit that was exceeded; see :attr:`limit`.
        """
        return cls(message, {"code": code.value, "field": field, "limit": limit})

    def __str__(self) -> str:
        return self.message

    @property
    def code(self) -> ErrorCode:
        """What is wrong.

        Raises:
            ValueError: the code comes from a newer worker and is unknown here; see :attr:`details`.
        """
        return ErrorCode(self.details["code"])

    @property
    def field(self) -> str | None:
        """Where it is wrong: a path into the arguments, such as ``inputs[3].text``; None if no one field is wrong."""
        return self.details["field"]

    @property
    def limit(self) -> int | float | str | None:
        """The limit that was exceeded, in the unit that the message names; None if there is none."""
        return self.details["limit"]


class InvalidRequest(RequestError):
    """The request breaks the contract: a wrong type, an exceeded limit, an unknown parameter."""


class UnknownModel(RequestError):
    """The request names a model that the worker does not serve."""


class UnknownTask(RequestError):
    """The request names a task that is not in the contract."""


class ModelFailed(RequestError):
    """The model failed on this request."""


class DeadlineExceeded(CeleriacError):
    """The request expired (Celery's ``expires``) before a worker started it."""


class RequestRevoked(CeleriacError):
    """The request was cancelled, or an operator revoked it."""


class RemoteFailure(CeleriacError):
    """The worker failed on the request, for example with ``TimeLimitExceeded`` or ``WorkerLostError``.

    Attributes:
        name: class name of the worker's exception.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name, message)
        self.name = name

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"


class WaitTimeout(CeleriacError):
    """No answer arrived before the timeout. The request may still be answered later."""


class ServiceUnavailable(CeleriacError):
    """A server did not reply before the call's deadline, or refused the credentials.

    Refused credentials are reported at once, and the message says so; retrying does not help.
    """


class BrokerUnavailable(ServiceUnavailable):
    """The broker did not confirm that the request was enqueued.

    It may have been enqueued all the same. Submitting it again with the same id is safe.
    """


class NotDurable(BrokerUnavailable):
    """The broker did not confirm that the request is on its disk, as ``submit(…, durable=True)`` demands.

    The message says whether the request was enqueued all the same. Submitting it again with the same id is safe.
    """


class ResultBackendUnavailable(ServiceUnavailable):
    """The result backend could not be reached."""
