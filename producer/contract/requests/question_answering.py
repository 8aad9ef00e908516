"""The request of ``question-answering``."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from producer.contract.limits import MAX_ANSWERS
from producer.contract.names import TaskName
from producer.contract.requests.base import Request
from producer.contract.requests.types import OneTextOrSeveral
from producer.errors import ErrorCode

__all__ = ["QuestionAnsweringRequest"]


class QuestionAnsweringRequest(Request):
    """Find the answer to a question as a span of a context; or several questions, each with its context.

    The result of one question is an :class:`~producer.contract.results.AnswerSpan`, or with ``top_k`` over 1 a list
    of those, best first; of several questions, a list of such results.
    """

    task: ClassVar[TaskName] = TaskName.QUESTION_ANSWERING
    item_fields: ClassVar[tuple[str, ...]] = ("question", "context")

    question: OneTextOrSeveral
    context: OneTextOrSeveral
    #: How many answers to return; fewer where the context has fewer.
    top_k: Annotated[int, Field(ge=1, le=MAX_ANSWERS)] = 1
    #: Longest window of question and context together, in tokens; when not given, no more than the model reads.
    max_seq_len: Annotated[int, Field(ge=1)] = 384
    #: Overlap of two windows of a long context, in tokens; when not given, no more than half a window.
    doc_stride: Annotated[int, Field(ge=0)] = 128
    #: Longest answer, in tokens.
    max_answer_len: Annotated[int, Field(ge=1)] = 15
    #: Taken and without effect, as in ``transformers`` with the tokenizers that these models have: a question is
    #: never cut.
    max_question_len: Annotated[int, Field(ge=1)] = 64
    #: Let "there is no answer" be one: an empty answer at 0, with its own score.
    handle_impossible_answer: bool = False
    #: Widen answers to whole words.
    align_to_words: bool = True

    @field_validator("context")
    @classmethod
    def _check_pairs(cls, value: str | list[str], info: ValidationInfo) -> str | list[str]:
        question = info.data.get("question", value)
        if isinstance(question, str) != isinstance(value, str) or (
            isinstance(value, list) and len(value) != len(question)
        ):
            raise PydanticCustomError(
                ErrorCode.WRONG_TYPE.value, "must go with question: two strings, or two lists of equal length"
            )
        return value

    @field_validator("doc_stride")
    @classmethod
    def _check_stride(cls, value: int, info: ValidationInfo) -> int:
        longest = info.data.get("max_seq_len", value)
        if value > longest:
            raise PydanticCustomError(
                ErrorCode.OUT_OF_RANGE.value, "must not be more than max_seq_len, {limit}", {"limit": longest}
            )
        return value

    @property
    def items(self) -> list[tuple[str, str]]:
        """Pairs of a question and its context, whatever the caller sent."""
        if isinstance(self.question, str) and isinstance(self.context, str):
            return [(self.question, self.context)]
        return list(zip(self.question, self.context, strict=True))

    def window_tokens(self, model_reads: int) -> tuple[int, int]:
        """Longest window and overlap, in tokens, for a model that reads so many; ``transformers`` defaults."""
        given = self.model_fields_set
        longest = self.max_seq_len if "max_seq_len" in given else min(self.max_seq_len, model_reads)
        return longest, self.doc_stride if "doc_stride" in given else min(self.doc_stride, longest // 2)
