"""One request in, its result or its typed error out; runs in a pool process."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from producer.contract import (
    REQUESTS,
    SUPPORTED_VERSIONS,
    VERSION_HEADER,
    ErrorCode,
    InvalidRequest,
    ModelFailed,
    Request,
    RequestError,
    TaskName,
    UnknownModel,
)
from worker import process

__all__ = ["answer"]

logger = logging.getLogger(__name__)


def answer(task: TaskName, context: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Answer one message.

    Args:
        task: the message's task.
        context: Celery's request context; the model that answers is noted on it, for the result's metadata.
        args: positional arguments, which the contract does not have.
        kwargs: keyword arguments, as they came.

    Raises:
        InvalidRequest, UnknownModel: the request is at fault; no model has seen it.
        ModelFailed: the model raised.
    """
    _check_version(context)
    if args:
        raise InvalidRequest.of(
            ErrorCode.UNKNOWN_PARAMETER,
            "arguments must be sent by name (kwargs), not by position (args)",
            field="args",
        )
    parsed = REQUESTS[task].parse_items(kwargs)
    if parsed.request is None:
        return parsed.merge([])
    pipeline = _choose(task, parsed.request)
    context.celeriac_model = {"name": pipeline.model.name, "revision": pipeline.model.manifest.revision}
    (outcomes,) = _compute(pipeline, parsed.request)
    return parsed.merge(outcomes)


def _check_version(context: Any) -> None:
    version = context.get(VERSION_HEADER)
    if version is not None and version not in SUPPORTED_VERSIONS:
        raise InvalidRequest.of(
            ErrorCode.UNSUPPORTED_VERSION,
            f"this worker answers contract versions {', '.join(map(str, sorted(SUPPORTED_VERSIONS)))}",
            field=VERSION_HEADER,
            limit=max(SUPPORTED_VERSIONS),
        )


def _choose(task: TaskName, request: Request) -> Any:
    loaded = process.current().pipelines[task]
    if request.model is None:
        return next(iter(loaded.values()))
    try:
        return loaded[request.model]
    except KeyError:
        raise UnknownModel.of(
            ErrorCode.UNKNOWN_MODEL,
            f"model: this worker has no such model for {task.value}; it has {', '.join(loaded)}",
            field="model",
        ) from None


def _compute(pipeline: Any, request: Request) -> list[list[Any]]:
    try:
        outcomes: list[list[Any]] = pipeline.answer([request])
    except RequestError:
        raise
    except (RuntimeError, MemoryError) as error:
        # A MemoryError that reached Celery would keep this slot of the pool for ever (celery/celery#10462).
        logger.exception("the model failed")
        raise ModelFailed.of(
            ErrorCode.MODEL_FAILED, f"model {pipeline.model.name} failed: {type(error).__name__}"
        ) from None
    return outcomes
