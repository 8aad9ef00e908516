"""The shapes of results: those of the ``transformers`` 4.57 pipelines, and the placeholder for a failed item."""

from __future__ import annotations

from typing import final

from typing_extensions import TypedDict

__all__ = ["AnswerSpan", "ItemError", "ItemFailure", "LabelScore", "ZeroShotResult"]


@final
class LabelScore(TypedDict):
    """One label of a text-classification result.

    Attributes:
        label: its name in the model.
        score: from 0 to 1, or a logit with ``function_to_apply="none"``.
    """

    label: str
    score: float


@final
class ZeroShotResult(TypedDict):
    """The result of one zero-shot input.

    Attributes:
        sequence: the input.
        labels: the candidate labels, best first.
        scores: the score of each label, from 0 to 1.
    """

    sequence: str
    labels: list[str]
    scores: list[float]


@final
class AnswerSpan(TypedDict):
    """One answer to a question.

    Attributes:
        score: from 0 to 1.
        start: where the answer starts in the context, in Unicode code points.
        end: where it ends: ``context[start:end]``.
        answer: its text; empty if the context has no answer.
    """

    score: float
    start: int
    end: int
    answer: str


@final
class ItemError(TypedDict):
    """What is wrong with one item of a request with several; see :class:`~producer.errors.RequestError`."""

    code: str
    message: str
    field: str | None
    limit: int | float | str | None


@final
class ItemFailure(TypedDict):
    """Takes the place of the result of an item that could not be answered."""

    error: ItemError
