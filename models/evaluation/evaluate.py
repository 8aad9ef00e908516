"""Accuracy and speed of a prepared model on labelled rows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from tqdm import tqdm

from models import pipelines
from models.engine.engine import EngineOptions
from models.evaluation.data_sets import DataSet
from models.store import StoredModel
from producer.contract import Request, RequestError

__all__ = ["EvaluationReport", "answer_here", "evaluate", "requests_of"]


@dataclass(frozen=True)
class EvaluationReport:
    """What was measured; times are of the answers alone, without loading and warm-up.

    Attributes:
        metric: what ``value`` is; ``values`` has all that were measured, from 0 to 1.
        errors: rows that got an error instead of an answer; they count as wrong.
        through: ``process`` or ``queue``; ``precision`` and ``threads`` are the worker's own matter for the latter.
    """

    model: str
    revision: str
    data: str
    rows: int
    errors: int
    metric: str
    value: float
    values: dict[str, float]
    seconds: float
    rows_per_second: float
    through: str
    precision: str | None = None
    threads: int | None = None


def requests_of(data: DataSet) -> Iterator[Request]:
    """All rows as requests of as many items as a message may have."""
    step = data.rows_per_request
    return (data.request(start, start + step) for start in range(0, len(data.rows), step))


def answer_here(model: StoredModel, data: DataSet, options: EngineOptions) -> Iterator[list[object]]:
    """The outcomes of each request, computed in this process; the model is loaded before the first is asked for."""
    pipeline = pipelines.load_all(model, options)[data.task]
    pipeline.warm_up()
    return (pipeline.answer([request])[0] for request in requests_of(data))


def evaluate(
    model: StoredModel,
    data: DataSet,
    answers: Iterable[list[object]],
    *,
    progress: bool = True,
    options: EngineOptions | None = None,
) -> EvaluationReport:
    """Judge the answers to all rows.

    Args:
        model: which answered.
        data: the rows.
        answers: the outcomes of each of :func:`requests_of`, in order; taking them is what is timed.
        progress: show a progress bar.
        options: how the model was compiled, if it was in this process.

    Raises:
        WrongDataError: a row is no valid request.
    """
    totals, errors = [0.0] * len(data.metrics), 0
    started_s = time.perf_counter()
    with tqdm(total=len(data.rows), desc=f"evaluate {model.name}", unit="row", disable=not progress) as bar:
        for row, outcome in zip(data.rows, chain.from_iterable(answers), strict=True):
            totals = [total + one for total, one in zip(totals, data.judge(row, outcome), strict=True)]
            errors += isinstance(outcome, RequestError)
            bar.update()
    seconds = time.perf_counter() - started_s
    values = {metric: total / len(data.rows) for metric, total in zip(data.metrics, totals, strict=True)}
    return EvaluationReport(
        model=model.name,
        revision=model.manifest.revision,
        data=data.name,
        rows=len(data.rows),
        errors=errors,
        metric=data.metrics[0],
        value=values[data.metrics[0]],
        values=values,
        seconds=seconds,
        rows_per_second=len(data.rows) / seconds,
        through="process" if options else "queue",
        precision=options.precision if options else None,
        threads=options.threads if options else None,
    )
