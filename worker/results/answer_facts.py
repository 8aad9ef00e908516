"""What is known of the answer to a request beside its value; it travels on Celery's request through the tracer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["AnswerFacts", "facts_of"]

_ATTRIBUTE = "celeriac_answer"


@dataclass(frozen=True)
class AnswerFacts:
    """How an answer came about.

    Attributes:
        model: name of the model that gave it.
        revision: the model's revision.
        tokens: number of tokens that the model read for it; None where nobody counts them.
        cause: the exception behind a failure of the model, which the sender does not see.
    """

    model: str
    revision: str
    tokens: int | None = None
    cause: BaseException | None = None

    def as_context(self) -> Mapping[str, object]:
        """The attributes to set on Celery's request, for :func:`facts_of`."""
        return {_ATTRIBUTE: self}


def facts_of(request: object) -> AnswerFacts | None:
    """The facts of a Celery request's answer; None before a model has answered it."""
    facts = getattr(request, _ATTRIBUTE, None)
    return facts if isinstance(facts, AnswerFacts) else None
