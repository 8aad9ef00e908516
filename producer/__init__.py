"""What other services import to have their texts answered: a client, the contract and the errors.

``Client`` is loaded when it is first used: the contract alone (which workers and models import) needs neither
Celery nor redis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    if name in {"Answer", "Client"}:
        from producer import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
