"""Answers the requests of a batch, each with a result or a typed error; runs in a pool process."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from models.errors import BrokenEngineError
from producer.contract import (
    REQUESTS,
    SUPPORTED_VERSIONS,
    VERSION_HEADER,
    ErrorCode,
    InvalidRequest,
    ModelFailed,
    ParsedItems,
    Request,
    RequestError,
    TaskName,
    UnknownModel,
)
from worker.pool import Call, TaskResult
from worker.results.answer_facts import AnswerFacts

if TYPE_CHECKING:
    from models.pipelines.base import AnyPipeline

__all__ = ["answer", "logger"]

logger = logging.getLogger(__name__)


def answer(
    task: TaskName, calls: Sequence[Call], pipelines: Mapping[str, AnyPipeline], *, count_tokens: bool = False
) -> list[TaskResult]:
    """TaskResult the requests of a batch together.

    Args:
        task: the task of all requests.
        calls: the requests, not validated. Positional arguments fill the parameters that keywords leave open.
        pipelines: the pipelines of the task, by the name of their model. The first answers requests that name none.
        count_tokens: whether to count the tokens that the model reads for each request.

    Returns:
        One answer per call, in order: a result with the model that gave it; an :class:`InvalidRequest` or
        :class:`UnknownModel` without one; or a :class:`ModelFailed`.

    Raises:
        RuntimeError, MemoryError: a model failed for several requests together, of which one may be at fault.
        SystemExit: this process cannot compute with a model any more.
    """
    answers: list[TaskResult | None] = [None] * len(calls)
    by_pipeline: dict[AnyPipeline, list[tuple[int, Any]]] = {}
    for index, call in enumerate(calls):
        try:
            parsed = _parse(task, call)
            if parsed.request is None:
                answers[index] = TaskResult(parsed.merge([]))
            else:
                by_pipeline.setdefault(_choose(task, parsed.request, pipelines), []).append((index, parsed))
        except RequestError as error:
            answers[index] = TaskResult(error=error)
    for pipeline, members in by_pipeline.items():
        computed = _compute(pipeline, [parsed for _, parsed in members], [] if count_tokens else None)
        for (index, _), result in zip(members, computed, strict=True):
            answers[index] = result
    return [result for result in answers if result is not None]


def _parse(task: TaskName, call: Call) -> ParsedItems[Any]:
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


def _choose(task: TaskName, request: Request, pipelines: Mapping[str, AnyPipeline]) -> AnyPipeline:
    if request.model is None:
        return next(iter(pipelines.values()))
    try:
        return pipelines[request.model]
    except KeyError:
        raise UnknownModel.of(
            ErrorCode.UNKNOWN_MODEL,
            f"model: this worker serves no such model for {task.value}; it serves {', '.join(pipelines)}",
            field="model",
        ) from None


def _compute(pipeline: AnyPipeline, members: Sequence[Any], token_counts: list[int] | None) -> list[TaskResult]:
    facts = AnswerFacts(pipeline.model.name, pipeline.model.manifest.revision, pipeline.engine.arithmetic.value)
    try:
        outcomes = pipeline.answer([parsed.request for parsed in members], token_counts)
        each = [replace(facts, tokens=count) for count in token_counts] if token_counts else [facts] * len(members)
        return [_merge(*member) for member in zip(members, outcomes, each, strict=True)]
    except BrokenEngineError as error:
        # A new process computes these requests.
        raise SystemExit(f"model {pipeline.model.name}: {error}") from error
    except (RuntimeError, MemoryError) as error:
        if len(members) > 1:
            raise
        # An uncaught MemoryError would make Celery leak a pool slot (celery/celery#10462).
        logger.exception("the model failed")
        problem = f"model {pipeline.model.name} failed: {type(error).__name__}"
        facts = replace(facts, tokens=token_counts[0] if token_counts else None, cause=error)
        failure = ModelFailed.of(ErrorCode.MODEL_FAILED, problem)
        return [TaskResult(error=failure, context=facts.as_context())]


def _merge(parsed: Any, outcomes: list[Any], facts: AnswerFacts) -> TaskResult:
    try:
        return TaskResult(parsed.merge(outcomes), context=facts.as_context())
    except RequestError as error:
        return TaskResult(error=error, context=facts.as_context())
