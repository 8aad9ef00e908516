"""How far a quantized model's answers are from those of the model before quantization. No labels are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.errors import InvalidDataError
from models.evaluation.data_sets import DataSet
from models.pipelines.base import AnyPipeline
from models.pipelines.classification_head import SCORE_FUNCTIONS
from models.progress import progress_bar
from models.store.manifest import AnswerDistance
from producer.contract import RequestError, TaskName

__all__ = ["Answers", "Fp32Distance", "default_limit", "measure_distance", "read_answers"]

Scores = npt.NDArray[np.float64]

#: Most mean distance of a score, as for a difference that few users would notice.
_MAX_MEAN_DISTANCE = 0.008
#: Most share of questions that get another span.
_MAX_OTHER_SPANS = 0.03
_PERCENTILE = 99.9
_DIGITS = 5


@dataclass(frozen=True)
class Answers:
    """What a model answers to some rows, as far as it is compared.

    Attributes:
        logits: the logits of each row that the model can read, of shape (logits,).
        scores: what the model's score function makes of them, of the same shape.
        spans: start and end of each row's best span in characters; None if the model does not find spans.
        are_values: whether the scores are the values of a regression head, and not probabilities.
    """

    logits: Sequence[Scores]
    scores: Sequence[Scores]
    spans: Sequence[tuple[int, int]] | None = None
    are_values: bool = False


@dataclass(frozen=True)
class Fp32Distance:
    """How far answers are from others to the same rows.

    The distance of a row is the largest change of a score: the probability of a label, of a token as the start or as
    the end of an answer, or the value of a regression head in multiples of the range of its values.

    Attributes:
        rows: number of rows.
        mean: mean distance of a row.
        p999: 99.9th percentile of the distances.
        largest: the largest distance.
        logits: mean over the rows of the mean change of a logit.
        other_spans: share of the rows with another best span; None if the model does not find spans.
    """

    rows: int
    mean: float
    p999: float
    largest: float
    logits: float
    other_spans: float | None = None

    @property
    def value(self) -> float:
        """What ``--max-distance`` limits: the share of other spans, or for other tasks the mean distance."""
        return self.mean if self.other_spans is None else self.other_spans

    def __str__(self) -> str:
        spans = "" if self.other_spans is None else f"other spans for {self.other_spans:.2%} of the rows, "
        return f"{spans}mean distance {self.mean:.4f}, 99.9th percentile {self.p999:.4f}, largest {self.largest:.3f}"

    def to_record(self) -> AnswerDistance:
        """The distance as the manifest has it."""
        return AnswerDistance(
            mean=round(self.mean, _DIGITS),
            p999=round(self.p999, _DIGITS),
            largest=round(self.largest, _DIGITS),
            logits=round(self.logits, _DIGITS),
            equal_spans=None if self.other_spans is None else round(1 - self.other_spans, _DIGITS),
        )


def default_limit(task: TaskName) -> float:
    """The limit for :attr:`Fp32Distance.value` if ``--max-distance`` is not given."""
    return _MAX_OTHER_SPANS if task is TaskName.QUESTION_ANSWERING else _MAX_MEAN_DISTANCE


def read_answers(pipeline: AnyPipeline, data: DataSet) -> Answers:
    """Answer all rows as a worker would. Rows that the model cannot read are left out.

    Args:
        pipeline: a loaded model, for the task of ``data``.
        data: the rows.

    Raises:
        InvalidDataError: the model cannot read any of the rows.
        RuntimeError: OpenVINO failed to compute.
    """
    score = SCORE_FUNCTIONS[pipeline.score_function]
    logits: list[Scores] = []
    scores: list[Scores] = []
    spans: list[tuple[int, int]] = []
    with progress_bar(len(data.rows), "answers", "row", stays=False) as bar:
        for request in data.requests():
            (encoded,) = pipeline.preprocess([request])
            items = [item for item in encoded if not isinstance(item, RequestError)]
            outputs = pipeline.compute(items)
            for item, output in zip(items, outputs, strict=True):
                groups = pipeline.logit_groups(item, output)
                logits.append(np.concatenate(groups))
                scores.append(np.concatenate([score(group) for group in groups]))
            if data.task is TaskName.QUESTION_ANSWERING:
                spans += [(answer["start"], answer["end"]) for answer in pipeline.postprocess(items, outputs)]
            bar.update(len(encoded))
    if not logits:
        raise InvalidDataError(f"{data.path}: the model cannot read any of the rows")
    finds_spans = data.task is TaskName.QUESTION_ANSWERING
    return Answers(logits, scores, spans if finds_spans else None, are_values=pipeline.score_function == "none")


def measure_distance(answers: Answers, originals: Answers) -> Fp32Distance:
    """Compare answers with those of the model before quantization.

    Args:
        answers: of the quantized model.
        originals: of the model before quantization, to the same rows; at least one.
    """
    scale = _range(originals.scores) if originals.are_values else 1.0
    distances = [
        float(np.max(np.abs(ours - theirs) / scale))
        for ours, theirs in zip(answers.scores, originals.scores, strict=True)
    ]
    logits = [
        float(np.mean(np.abs(ours - theirs))) for ours, theirs in zip(answers.logits, originals.logits, strict=True)
    ]
    other_spans = None
    if answers.spans is not None and originals.spans is not None:
        pairs = list(zip(answers.spans, originals.spans, strict=True))
        other_spans = sum(ours != theirs for ours, theirs in pairs) / len(pairs)
    return Fp32Distance(
        rows=len(distances),
        mean=float(np.mean(distances)),
        p999=float(np.percentile(distances, _PERCENTILE)),
        largest=max(distances),
        logits=float(np.mean(logits)),
        other_spans=other_spans,
    )


def _range(values: Sequence[Scores]) -> Scores:
    """The range of each value over all rows, of shape (values,); 1 for one that does not change."""
    ranges: Scores = np.ptp(np.stack(values), axis=0)
    return np.where(ranges > 0, ranges, 1.0)
