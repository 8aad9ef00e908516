"""The requests of a batch in, an answer or a typed error for each out; runs in a pool process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
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
from worker.boot import process
from worker.pool import Answer, Call

__all__ = ["answer"]

logger = logging.getLogger(__name__)


def answer(task: TaskName, calls: Sequence[Call], *, count_tokens: bool = False) -> list[Answer]:
    """Answer some requests together.

    Args:
        task: their task.
        calls: as they came; positional arguments fill the parameters that keywords leave open.
        count_tokens: whether each answer's context shall have ``celeriac_tokens``, what the model has read for it.

    Returns:
        In order, a result with the model that gave it, or an :class:`InvalidRequest` or :class:`UnknownModel` that no
        model has seen, or a :class:`ModelFailed`.

    Raises:
        RuntimeError, MemoryError: a model raised over more than one request; one of them may be at fault.
    """
    answers: list[Answer | None] = [None] * len(calls)
    by_model: dict[Any, list[tuple[int, Any]]] = {}
    for index, call in enumerate(calls):
        try:
            parsed = _parse(task, call)
            if parsed.request is None:
                answers[index] = Answer(parsed.merge([]))
            else:
                by_model.setdefault(_choose(task, parsed.request), []).append((index, parsed))
        except RequestError as error:
            answers[index] = Answer(error=error)
    for pipeline, members in by_model.items():
        computed = _compute(pipeline, [parsed for _, parsed in members], [] if count_tokens else None)
        for (index, _), given in zip(members, computed, strict=True):
            answers[index] = given
    return [given for given in answers if given is not None]


def _parse(task: TaskName, call: Call) -> Any:
    _check_version(call)
    schema = REQUESTS[task]
    return schema.parse_items(schema.bind(call.args, call.kwargs))


def _check_version(call: Call) -> None:
    version = call.headers.get(VERSION_HEADER)
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


def _compute(pipeline: Any, members: Sequence[Any], token_counts: list[int] | None) -> list[Answer]:
    context = {"celeriac_model": {"name": pipeline.model.name, "revision": pipeline.model.manifest.revision}}
    try:
        outcomes = pipeline.answer([parsed.request for parsed in members], token_counts)
        contexts = _with_counts(context, token_counts) if token_counts else [context] * len(members)
        return [_answer(parsed, found, its) for parsed, found, its in zip(members, outcomes, contexts, strict=True)]
    except (RuntimeError, MemoryError) as error:
        if len(members) > 1:
            raise
        # A MemoryError that reached Celery would keep this slot of the pool for ever (celery/celery#10462).
        logger.exception("the model failed")
        problem = f"model {pipeline.model.name} failed: {type(error).__name__}"
        (context,) = _with_counts(context, token_counts) if token_counts else [context]
        failure = ModelFailed.of(ErrorCode.MODEL_FAILED, problem)
        return [Answer(error=failure, context={**context, "celeriac_cause": error})]


def _with_counts(context: dict[str, Any], token_counts: Sequence[int]) -> list[dict[str, Any]]:
    return [{**context, "celeriac_tokens": count} for count in token_counts]


def _answer(parsed: Any, outcomes: list[Any], context: dict[str, Any]) -> Answer:
    try:
        return Answer(parsed.merge(outcomes), context=context)
    except RequestError as error:
        return Answer(error=error, context=context)
