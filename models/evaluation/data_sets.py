"""The kinds of labelled data: which columns they have, how their rows are asked, how an answer is judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from models.errors import WrongDataError
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

__all__ = ["DataSet", "read_data_set"]

Row = Mapping[str, Any]
#: What SQuAD's own script allows, in tokens; the pipeline's default of 15 cuts 2 % of the answers.
_MAX_ANSWER_TOKENS = 30
_TEMPLATE = "This example is {}."


@dataclass(frozen=True)
class DataSet(ABC):
    """Labelled rows of one kind.

    Attributes:
        path: where they are from.
        rows: all of them.
        template: how a label becomes a hypothesis, where the kind has hypotheses.
    """

    path: Path
    rows: Sequence[Row]
    template: str = _TEMPLATE

    @property
    def rows_per_request(self) -> int:
        """How many rows a message may hold."""
        return MAX_INPUTS

    #: What each row must hold to be asked, by name; and to be judged.
    inputs: ClassVar[dict[str, type]]
    label: ClassVar[dict[str, type]] = {"label": str}
    #: The task that its requests are for.
    task: ClassVar[TaskName]
    #: What is measured; the first is the one that counts.
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)

    @property
    def name(self) -> str:
        """Its directory and file."""
        return f"{self.path.parent.name}/{self.path.name}"

    def request(self, start: int, stop: int) -> Request:
        """Rows ``start`` to ``stop`` as one request.

        Raises:
            WrongDataError: they are no valid request.
        """
        try:
            return self._request(self.rows[start:stop])
        except InvalidRequest as error:
            raise WrongDataError(f"{self.path}, rows {start + 1} to {min(stop, len(self.rows))}: {error}") from error

    def judge(self, row: Row, outcome: Any) -> tuple[float, ...]:
        """From 0 to 1 for each of :attr:`metrics`; an error is 0."""
        return (0.0,) * len(self.metrics) if isinstance(outcome, RequestError) else self._judge(row, outcome)

    @staticmethod
    def find_fault(row: Row) -> str | None:  # noqa: ARG004 - for kinds whose columns have a form of their own
        """What is wrong with a row whose columns are there and of the right type."""
        return None

    @abstractmethod
    def _request(self, rows: Sequence[Row]) -> Request: ...

    @abstractmethod
    def _judge(self, row: Row, outcome: Any) -> tuple[float, ...]: ...


class LabelledTexts(DataSet):
    """Texts with the label that a classifier should give."""

    inputs: ClassVar[dict[str, type]] = {"text": str}
    task = TaskName.TEXT_CLASSIFICATION

    def _request(self, rows: Sequence[Row]) -> Request:
        return TextClassificationRequest.parse({"inputs": [row["text"] for row in rows]})

    def _judge(self, row: Row, outcome: Any) -> tuple[float, ...]:
        return (float(outcome[0]["label"] == row["label"]),)


class LabelledPairs(LabelledTexts):
    """Pairs of a premise and a hypothesis with the label that a classifier of pairs should give."""

    inputs: ClassVar[dict[str, type]] = {"premise": str, "hypothesis": str}

    def _request(self, rows: Sequence[Row]) -> Request:
        pairs = [{"text": row["premise"], "text_pair": row["hypothesis"]} for row in rows]
        return TextClassificationRequest.parse({"inputs": pairs})


class LabelledTopics(DataSet):
    """Texts with the label that zero-shot classification should choose among all labels of the data."""

    #: The labels of all rows are the candidates of each.
    inputs: ClassVar[dict[str, type]] = {"text": str, "label": str}
    task = TaskName.ZERO_SHOT_CLASSIFICATION

    @cached_property
    def _labels(self) -> list[str]:
        return sorted({row["label"] for row in self.rows})

    @property
    def rows_per_request(self) -> int:
        """How many rows a message may hold: each is as many sequences as there are labels."""
        return max(1, min(MAX_INPUTS, MAX_SEQUENCES // len(self._labels)))

    def _request(self, rows: Sequence[Row]) -> Request:
        return ZeroShotClassificationRequest.parse(
            {
                "inputs": [row["text"] for row in rows],
                "candidate_labels": self._labels,
                "hypothesis_template": self.template,
            }
        )

    def _judge(self, row: Row, outcome: Any) -> tuple[float, ...]:
        return (float(outcome["labels"][0] == row["label"]),)


class Questions(DataSet):
    """Questions on contexts, with the answers that people gave: ``[{"text": …}, …]``."""

    inputs: ClassVar[dict[str, type]] = {"question": str, "context": str}
    label: ClassVar[dict[str, type]] = {"answers": list}
    task = TaskName.QUESTION_ANSWERING
    metrics = ("f1", "exact_match")

    @staticmethod
    def find_fault(row: Row) -> str | None:
        """An answer without its text."""
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

    def _judge(self, row: Row, outcome: Any) -> tuple[float, ...]:
        references = [reference["text"] for reference in row["answers"]]
        return squad.f1(outcome["answer"], references), squad.exact_match(outcome["answer"], references)


#: What a model of a task can be measured on; a zero-shot model labels pairs too, being trained to.
_KINDS: dict[TaskName, tuple[type[DataSet], ...]] = {
    TaskName.TEXT_CLASSIFICATION: (LabelledPairs, LabelledTexts),
    TaskName.ZERO_SHOT_CLASSIFICATION: (LabelledPairs, LabelledTopics),
    TaskName.QUESTION_ANSWERING: (Questions,),
}


def read_data_set(
    path: Path, task: TaskName, *, labelled: bool = True, template: str | None = None, limit: int | None = None
) -> DataSet:
    """Read rows for a model of ``task``; their columns tell which kind they are.

    Args:
        path: one JSON object a line, UTF-8.
        task: the model's.
        labelled: whether the answers will be judged; rows for calibration need no label.
        template: how a label becomes a hypothesis.
        limit: use the first rows only.

    Raises:
        WrongDataError: they cannot be read, or are of no kind that such a model can be measured on.
    """
    rows = read_rows(path, {})[:limit]
    columns = {kind: {**kind.inputs, **(kind.label if labelled else {})} for kind in _KINDS[task]}
    for kind, needed in columns.items():
        if needed.keys() <= rows[0].keys():
            rows = read_rows(path, needed, kind.find_fault)[:limit]
            return kind(path, rows, template or _TEMPLATE)
    choices = " or ".join(", ".join(needed) for needed in columns.values())
    raise WrongDataError(f"{path}, line 1: a model for {task.value} needs rows with {choices}")
