"""Metadata of an answer, such as its model. It passes through Celery's tracer as an attribute of the request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["AnswerFacts", "facts_of"]

_ATTRIBUTE = "celeriac_answer"


@dataclass(frozen=True)
class AnswerFacts:
    """The metadata of one answer.

    Attributes:
        model: name of the model that gave the answer.
        revision: the model's revision.
        arithmetic: type of the matrix products that the model computed, such as ``int8``.
        tokens: number of tokens that the model read for the request; None if they are not counted.
        cause: the exception with which the model failed, which the sender does not see.
    """

    model: str
    revision: str
    arithmetic: str
    tokens: int | None = None
    cause: BaseException | None = None

    def as_context(self) -> Mapping[str, object]:
        """The attributes to set on Celery's request, for :func:`facts_of`."""
        return {_ATTRIBUTE: self}


def facts_of(request: object) -> AnswerFacts | None:
    """The facts of the answer to a Celery request; None before a model has answered it."""
    facts = getattr(request, _ATTRIBUTE, None)
    return facts if isinstance(facts, AnswerFacts) else None
