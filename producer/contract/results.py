"""The shapes of results: those of the ``transformers`` 4.57 pipelines, and what stands for an item that failed."""

from __future__ import annotations

from typing_extensions import TypedDict

__all__ = ["AnswerSpan", "ItemError", "ItemFailure", "LabelScore", "ZeroShotResult"]


class LabelScore(TypedDict):
    """One label of a text-classification result."""

    label: str
    score: float


class ZeroShotResult(TypedDict):
    """The result of one zero-shot input: labels and scores best first."""

    sequence: str
    labels: list[str]
    scores: list[float]


class AnswerSpan(TypedDict):
    """One answer: ``context[start:end]``, in code points."""

    score: float
    start: int
    end: int
    answer: str


class ItemError(TypedDict):
    """What is wrong with one item of a request with several."""

    code: str
    message: str
    field: str | None
    limit: int | float | str | None


class ItemFailure(TypedDict):
    """Stands in the place of the result of an item that could not be answered."""

    error: ItemError
