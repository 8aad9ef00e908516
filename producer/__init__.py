"""The package that other services import: the client, the request types and the errors.

The clients are loaded on first use, so that importing the contract (as workers and models do) loads neither Celery nor
redis. The requests are too: the command line prints its help without pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

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
    from producer.async_client import AsyncClient
    from producer.client import Client
    from producer.contract import (
        QuestionAnsweringRequest,
        QueueClass,
        TextClassificationRequest,
        TextInput,
        ZeroShotClassificationRequest,
    )
    from producer.handles import AsyncRequestHandle, RequestHandle
    from producer.outcomes import Answer, RequestStatus

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncRequestHandle",
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
    "RequestHandle",
    "RequestRevoked",
    "RequestStatus",
    "ResultBackendUnavailable",
    "ServiceUnavailable",
    "TextClassificationRequest",
    "TextInput",
    "UnknownModel",
    "UnknownTask",
    "WaitTimeout",
    "ZeroShotClassificationRequest",
]


#: What loads Celery, redis or pydantic, and where it is.
_LOADED_ON_USE = {
    "Answer": "producer.outcomes",
    "AsyncClient": "producer.async_client",
    "AsyncRequestHandle": "producer.handles",
    "Client": "producer.client",
    "QuestionAnsweringRequest": "producer.contract",
    "QueueClass": "producer.contract",
    "RequestHandle": "producer.handles",
    "RequestStatus": "producer.outcomes",
    "TextClassificationRequest": "producer.contract",
    "TextInput": "producer.contract",
    "ZeroShotClassificationRequest": "producer.contract",
}


def __getattr__(name: str) -> object:
    if name in _LOADED_ON_USE:
        loaded: object = getattr(import_module(_LOADED_ON_USE[name]), name)
        return loaded
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
