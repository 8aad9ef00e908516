"""Accuracy and speed of a prepared model on labelled rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from models import pipelines
from models.engine import EngineOptions
from models.errors import WrongDataError
from models.rows import read_rows
from models.store import StoredModel
from producer.contract import MAX_INPUTS, InvalidRequest, RequestError, TextClassificationRequest

__all__ = ["EvaluationReport", "evaluate"]


@dataclass(frozen=True)
class EvaluationReport:
    """What was measured; times are of the answers alone, without loading and warm-up."""

    model: str
    revision: str
    data: str
    metric: str
    rows: int
    correct: int
    value: float
    seconds: float
    rows_per_second: float
    precision: str
    threads: int


def evaluate(
    model: StoredModel, data: Path, options: EngineOptions, *, progress: bool = True, limit: int | None = None
) -> EvaluationReport:
    """Answer every row of ``data`` and compare the best label with the row's.

    Args:
        model: a verified model for text classification.
        data: JSON Lines with the columns ``text`` and ``label``.
        options: how the model is compiled.
        progress: show a progress bar.
        limit: use the first rows only.

    Raises:
        WrongDataError: the data does not fit, or a row's text is not a valid request.
    """
    rows = read_rows(data, {"text": str, "label": str})[:limit]
    pipeline = pipelines.load(model, options)
    pipeline.warm_up()
    correct = 0
    started_s = time.perf_counter()
    with tqdm(total=len(rows), desc=f"evaluate {model.name}", unit="row", disable=not progress) as bar:
        for start in range(0, len(rows), MAX_INPUTS):
            chunk = rows[start : start + MAX_INPUTS]
            try:
                request = TextClassificationRequest.parse({"inputs": [row["text"] for row in chunk]})
            except InvalidRequest as error:
                raise WrongDataError(f"{data}, rows {start + 1} to {start + len(chunk)}: {error}") from error
            (outcomes,) = pipeline.answer([request])
            correct += sum(
                not isinstance(outcome, RequestError) and outcome[0]["label"] == row["label"]
                for outcome, row in zip(outcomes, chunk, strict=True)
            )
            bar.update(len(chunk))
    seconds = time.perf_counter() - started_s
    return EvaluationReport(
        model=model.name,
        revision=model.manifest.revision,
        data=data.name,
        metric="accuracy",
        rows=len(rows),
        correct=correct,
        value=correct / len(rows),
        seconds=seconds,
        rows_per_second=len(rows) / seconds,
        precision=options.precision,
        threads=options.threads,
    )
