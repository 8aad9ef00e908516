"""The contract between producers and workers: names, headers, limits, request and result schemas, errors, version.

Everything that both sides must agree on is defined here and nowhere else. Task names are the pipeline tags of the
Hugging Face hub. Requests and results have the shapes of the ``transformers`` 4.57 pipelines, so there is no new schema
to learn. Importing this package loads neither Celery nor redis.
"""

from __future__ import annotations

from producer.contract.headers import (
    BAGGAGE_HEADER,
    MAX_TRACE_HEADER_CHARACTERS,
    ONCE_HEADER,
    SENT_AT_HEADER,
    SENTRY_ENQUEUED_TIME_HEADER,
    SENTRY_TRACE_HEADER,
    TRACE_HEADERS,
    TRACEPARENT_HEADER,
    TRACESTATE_HEADER,
    VERSION_HEADER,
    sending_of,
)
from producer.contract.items import ParsedItems
from producer.contract.limits import (
    MAX_ANSWERS,
    MAX_INPUTS,
    MAX_LABEL_CHARACTERS,
    MAX_LABELS,
    MAX_MODEL_NAME_CHARACTERS,
    MAX_REQUEST_BYTES,
    MAX_SEQUENCES,
    MAX_TEXT_CHARACTERS,
    MIN_WINDOW_TOKENS,
)
from producer.contract.names import (
    CONTRACT_VERSION,
    DEFAULT_QUEUE,
    SUPPORTED_VERSIONS,
    QueueClass,
    TaskName,
    class_of_queue,
    is_bulk,
    is_contract_queue,
    model_queue_name,
    queue_name,
)
from producer.contract.redis_url import RedisUrl, Scheme, server_url
from producer.contract.requests.base import Request
from producer.contract.requests.question_answering import QuestionAnsweringRequest
from producer.contract.requests.text_classification import TextClassificationRequest, TextInput
from producer.contract.requests.zero_shot_classification import ZeroShotClassificationRequest
from producer.contract.results import AnswerSpan, ItemFailure, LabelScore, ZeroShotResult
from producer.contract.sentinel_url import Sentinels
from producer.contract.validation import too_large
from producer.errors import (
    ErrorCode,
    ErrorDetails,
    InvalidRedisUrl,
    InvalidRequest,
    ModelFailed,
    RequestError,
    UnknownModel,
    UnknownTask,
)

__all__ = [
    "BAGGAGE_HEADER",
    "CONTRACT_VERSION",
    "DEFAULT_QUEUE",
    "MAX_ANSWERS",
    "MAX_INPUTS",
    "MAX_LABELS",
    "MAX_LABEL_CHARACTERS",
    "MAX_MODEL_NAME_CHARACTERS",
    "MAX_REQUEST_BYTES",
    "MAX_SEQUENCES",
    "MAX_TEXT_CHARACTERS",
    "MAX_TRACE_HEADER_CHARACTERS",
    "MIN_WINDOW_TOKENS",
    "ONCE_HEADER",
    "REQUESTS",
    "SENTRY_ENQUEUED_TIME_HEADER",
    "SENTRY_TRACE_HEADER",
    "SENT_AT_HEADER",
    "SUPPORTED_VERSIONS",
    "TRACEPARENT_HEADER",
    "TRACESTATE_HEADER",
    "TRACE_HEADERS",
    "VERSION_HEADER",
    "AnswerSpan",
    "ErrorCode",
    "ErrorDetails",
    "InvalidRedisUrl",
    "InvalidRequest",
    "ItemFailure",
    "LabelScore",
    "ModelFailed",
    "ParsedItems",
    "QuestionAnsweringRequest",
    "QueueClass",
    "RedisUrl",
    "Request",
    "RequestError",
    "Scheme",
    "Sentinels",
    "TaskName",
    "TextClassificationRequest",
    "TextInput",
    "UnknownModel",
    "UnknownTask",
    "ZeroShotClassificationRequest",
    "ZeroShotResult",
    "class_of_queue",
    "is_bulk",
    "is_contract_queue",
    "model_queue_name",
    "queue_name",
    "sending_of",
    "server_url",
    "too_large",
]

#: The request schema of each task.
REQUESTS: dict[TaskName, type[Request]] = {
    schema.task: schema
    for schema in (TextClassificationRequest, ZeroShotClassificationRequest, QuestionAnsweringRequest)
}
