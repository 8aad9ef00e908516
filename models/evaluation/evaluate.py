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
from models.pipelines.base import ItemResult
from models.store import StoredModel
from producer.contract import RequestError

__all__ = ["EvaluationReport", "answer_in_process", "evaluate"]


@dataclass(frozen=True)
class EvaluationReport:
    """What was measured.

    Attributes:
        model: name of the model.
        revision: its revision.
        data: the labelled file, as its directory and name.
        rows: number of rows.
        errors: number of rows whose result is an error; they count as wrong.
        metric: the metric that counts, such as ``accuracy``.
        value: its value, from 0 to 1.
        values: values of all metrics, by name.
        seconds: time to answer all rows, without loading the model and warm-up.
        rows_per_second: rows by that time.
        through: ``process`` or ``queue``.
        precision: arithmetic of the operations that are not quantized; None through the queue, where the worker
            decides.
        threads: compute threads; None through the queue.
        arithmetic: arithmetic of a quantized model's matrix products; None through the queue.
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
    arithmetic: str | None = None


def answer_in_process(model: StoredModel, data: DataSet, options: EngineOptions) -> Iterator[list[ItemResult]]:
    """Answer the requests of ``data`` in this process.

    The model is loaded and warmed up at once. Each request is computed when its results are taken.

    Returns:
        The results of each of :meth:`DataSet.requests`, in order.

    Raises:
        RuntimeError: OpenVINO cannot compile the model.
    """
    pipeline = pipelines.load_all(model, options)[data.task]
    pipeline.warm_up()
    return (pipeline.answer([request])[0] for request in data.requests())


def evaluate(
    model: StoredModel,
    data: DataSet,
    results: Iterable[list[ItemResult]],
    *,
    progress: bool = True,
    options: EngineOptions | None = None,
) -> EvaluationReport:
    """Compare the results of all rows with their labels, and time them.

    Args:
        model: the model that computed them.
        data: the labelled rows.
        results: the results of each of :meth:`DataSet.requests`, in order; taking them is what is timed.
        progress: show a progress bar.
        options: how the model was compiled, if it was in this process.

    Raises:
        InvalidDataError: some rows are not a valid request.
    """
    totals, errors = [0.0] * len(data.metrics), 0
    started_s = time.perf_counter()
    with tqdm(total=len(data.rows), desc=f"evaluate {model.name}", unit="row", disable=not progress) as bar:
        for row, result in zip(data.rows, chain.from_iterable(results), strict=True):
            totals = [total + value for total, value in zip(totals, data.judge(row, result), strict=True)]
            errors += isinstance(result, RequestError)
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
        arithmetic=options.arithmetic.value if options and options.arithmetic else None,
    )
