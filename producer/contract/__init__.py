"""The contract between producers and workers: names, limits, request and result schemas, version.

The one source of truth. Task names are the pipeline tags of the Hugging Face hub; request and result shapes are those
of the pipelines of ``transformers`` 4.57, so that nobody learns a new schema.
"""

from __future__ import annotations

from producer.contract.items import ParsedItems
from producer.contract.limits import (
    MAX_ANSWERS,
    MAX_INPUTS,
    MAX_LABEL_CHARACTERS,
    MAX_LABELS,
    MAX_REQUEST_BYTES,
    MAX_SEQUENCES,
    MAX_TEXT_CHARACTERS,
)
from producer.contract.names import (
    CONTRACT_VERSION,
    DEFAULT_QUEUE,
    SENT_AT_HEADER,
    SUPPORTED_VERSIONS,
    VERSION_HEADER,
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
    "CONTRACT_VERSION",
    "DEFAULT_QUEUE",
    "MAX_ANSWERS",
    "MAX_INPUTS",
    "MAX_LABELS",
    "MAX_LABEL_CHARACTERS",
    "MAX_REQUEST_BYTES",
    "MAX_SEQUENCES",
    "MAX_TEXT_CHARACTERS",
    "REQUESTS",
    "SENT_AT_HEADER",
    "SUPPORTED_VERSIONS",
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
    "server_url",
]

#: The request schema of each task.
REQUESTS: dict[TaskName, type[Request]] = {
    schema.task: schema
    for schema in (TextClassificationRequest, ZeroShotClassificationRequest, QuestionAnsweringRequest)
}
