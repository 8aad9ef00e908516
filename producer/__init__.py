"""The package that other services import: the client, the request types and the errors.

``Client`` is loaded on first use, so that importing the contract (as workers and models do) loads neither Celery nor
redis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.contract import (
    QuestionAnsweringRequest,
    QueueClass,
    TextClassificationRequest,
    TextInput,
    ZeroShotClassificationRequest,
)
from producer.errors import (
    BrokerUnavailable,
    CeleriacError,
    DeadlineExceeded,
    ErrorCode,
    InvalidRedisUrl,
    InvalidRequest,
    ModelFailed,
    NotDurable,
    RemoteFailure,
    RequestError,
    RequestRevoked,
    ResultBackendUnavailable,
    ServiceUnavailable,
    UnknownModel,
    UnknownTask,
    WaitTimeout,
)

if TYPE_CHECKING:
    from producer.client import Answer, Client

__all__ = [
    "Answer",
    "BrokerUnavailable",
    "CeleriacError",
    "Client",
    "DeadlineExceeded",
    "ErrorCode",
    "InvalidRedisUrl",
    "InvalidRequest",
    "ModelFailed",
    "NotDurable",
    "QuestionAnsweringRequest",
    "QueueClass",
    "RemoteFailure",
    "RequestError",
    "RequestRevoked",
    "ResultBackendUnavailable",
    "ServiceUnavailable",
    "TextClassificationRequest",
    "TextInput",
    "UnknownModel",
    "UnknownTask",
    "WaitTimeout",
    "ZeroShotClassificationRequest",
]


def __getattr__(name: str) -> object:
    if name in {"Answer", "Client"}:
        from producer import client

        loaded: object = getattr(client, name)
        return loaded
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
