"""The kinds of labelled data: their columns, the requests made of their rows, how a result is judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from models.errors import InvalidDataError
from models.evaluation import squad
from models.evaluation.rows import read_rows
from producer.contract import (
    MAX_INPUTS,
    MAX_SEQUENCES,
    InvalidRequest,
    QuestionAnsweringRequest,
    Request,
    RequestError,
    TaskName,
    TextClassificationRequest,
    ZeroShotClassificationRequest,
)

__all__ = ["DataSet", "Row", "read_data_set"]

Row = Mapping[str, Any]
#: Longest answer, in tokens, as in SQuAD's own script; the pipeline's default of 15 cuts 2 % of the answers short.
_MAX_ANSWER_TOKENS = 30


@dataclass(frozen=True)
class DataSet(ABC):
    """Labelled rows of one kind.

    Attributes:
        path: the file that they were read from.
        rows: the rows.
        template: hypothesis template for zero-shot classification; the request's default if None.
        inputs: type of each column that a request needs, by name.
        label: type of each column that judging a result needs, by name.
        task: the task of the requests.
        metrics: what is measured; the first one counts.
    """

    path: Path
    rows: Sequence[Row]
    template: str | None = None

    inputs: ClassVar[dict[str, type]]
    label: ClassVar[dict[str, type]] = {"label": str}
    task: ClassVar[TaskName]
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)

    @property
    def name(self) -> str:
        """The file's directory and name."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def rows_per_request(self) -> int:
        """Most rows of one request."""
        return MAX_INPUTS

    def requests(self) -> Iterator[Request]:
        """All rows, in order, as requests of :attr:`rows_per_request` rows each.

        Raises:
            InvalidDataError: the rows of a request are not a valid request.
        """
        step = self.rows_per_request
        return (self.request(start, start + step) for start in range(0, len(self.rows), step))

    def request(self, start: int, stop: int) -> Request:
        """Rows ``start`` to ``stop`` as one request.

        Raises:
            InvalidDataError: they are not a valid request.
        """
        try:
            return self._request(self.rows[start:stop])
        except InvalidRequest as error:
            raise InvalidDataError(f"{self.path}, rows {start + 1} to {min(stop, len(self.rows))}: {error}") from error

    def judge(self, row: Row, result: Any) -> tuple[float, ...]:
        """The value of each of :attr:`metrics` for one row, from 0 to 1; an error is 0.

        Args:
            row: the labelled row.
            result: what the model gave for it, in the shape of its task.
        """
        return (0.0,) * len(self.metrics) if isinstance(result, RequestError) else self._judge(row, result)

    @staticmethod
    def find_problem(row: Row) -> str | None:  # noqa: ARG004 - for kinds whose columns have a structure
        """What is wrong with a row whose columns exist and have the right types; None if nothing is."""
        return None

    @abstractmethod
    def _request(self, rows: Sequence[Row]) -> Request: ...

    @abstractmethod
    def _judge(self, row: Row, result: Any) -> tuple[float, ...]: ...


class LabelledTexts(DataSet):
    """Texts with their label, for a classifier."""

    inputs: ClassVar[dict[str, type]] = {"text": str}
    task = TaskName.TEXT_CLASSIFICATION

    def _request(self, rows: Sequence[Row]) -> Request:
        return TextClassificationRequest.parse({"inputs": [row["text"] for row in rows]})

    def _judge(self, row: Row, result: Any) -> tuple[float, ...]:
        return (float(result[0]["label"] == row["label"]),)


class LabelledPairs(LabelledTexts):
    """Pairs of a premise and a hypothesis with their label, for a classifier of pairs."""

    inputs: ClassVar[dict[str, type]] = {"premise": str, "hypothesis": str}

    def _request(self, rows: Sequence[Row]) -> Request:
        pairs = [{"text": row["premise"], "text_pair": row["hypothesis"]} for row in rows]
        return TextClassificationRequest.parse({"inputs": pairs})


class LabelledTopics(DataSet):
    """Texts with their label, which zero-shot classification should choose among all labels of the file."""

    # The labels of all rows are the candidates of each row, so they are needed even without judging.
    inputs: ClassVar[dict[str, type]] = {"text": str, "label": str}
    task = TaskName.ZERO_SHOT_CLASSIFICATION

    @cached_property
    def _labels(self) -> list[str]:
        return sorted({row["label"] for row in self.rows})

    @property
    def rows_per_request(self) -> int:
        """Most rows of one request, given that each is one sequence per label."""
        return max(1, min(MAX_INPUTS, MAX_SEQUENCES // len(self._labels)))

    def _request(self, rows: Sequence[Row]) -> Request:
        template = {"hypothesis_template": self.template} if self.template else {}
        return ZeroShotClassificationRequest.parse(
            {"inputs": [row["text"] for row in rows], "candidate_labels": self._labels, **template}
        )

    def _judge(self, row: Row, result: Any) -> tuple[float, ...]:
        return (float(result["labels"][0] == row["label"]),)


class Questions(DataSet):
    """Questions about contexts, with the answers that people gave: ``[{"text": …}, …]``."""

    inputs: ClassVar[dict[str, type]] = {"question": str, "context": str}
    label: ClassVar[dict[str, type]] = {"answers": list}
    task = TaskName.QUESTION_ANSWERING
    metrics = ("f1", "exact_match")

    @staticmethod
    def find_problem(row: Row) -> str | None:
        """Find an answer without text."""
        answers = row.get("answers", [])
        if all(isinstance(answer, dict) and isinstance(answer.get("text"), str) for answer in answers):
            return None
        return 'each of the answers needs a str named "text"'

    def _request(self, rows: Sequence[Row]) -> Request:
        return QuestionAnsweringRequest.parse(
            {
                "question": [row["question"] for row in rows],
                "context": [row["context"] for row in rows],
                "max_answer_len": _MAX_ANSWER_TOKENS,
            }
        )

    def _judge(self, row: Row, result: Any) -> tuple[float, ...]:
        references = [reference["text"] for reference in row["answers"]]
        return squad.f1(result["answer"], references), squad.exact_match(result["answer"], references)


#: The data that a model for each task can be measured on. Zero-shot models are trained to classify pairs.
_KINDS: dict[TaskName, tuple[type[DataSet], ...]] = {
    TaskName.TEXT_CLASSIFICATION: (LabelledPairs, LabelledTexts),
    TaskName.ZERO_SHOT_CLASSIFICATION: (LabelledPairs, LabelledTopics),
    TaskName.QUESTION_ANSWERING: (Questions,),
}


def read_data_set(
    path: Path, task: TaskName, *, labelled: bool = True, template: str | None = None, limit: int | None = None
) -> DataSet:
    """Read rows for a model for ``task``. The columns of the first row decide which kind of data they are.

    Args:
        path: one JSON object per line, UTF-8.
        task: the task that the model is made for.
        labelled: whether results will be judged; rows for calibration need no label.
        template: hypothesis template for zero-shot classification; the request's default if None.
        limit: use only this many rows, from the start of the file.

    Raises:
        InvalidDataError: the file cannot be read, or its columns are not those of any kind of data for this task.
    """
    rows = read_rows(path, {})[:limit]
    columns = {kind: {**kind.inputs, **(kind.label if labelled else {})} for kind in _KINDS[task]}
    for kind, required in columns.items():
        if required.keys() <= rows[0].keys():
            rows = read_rows(path, required, kind.find_problem)[:limit]
            return kind(path, rows, template)
    choices = " or ".join(", ".join(required) for required in columns.values())
    raise InvalidDataError(f"{path}, line 1: a model for {task.value} needs rows with {choices}")
