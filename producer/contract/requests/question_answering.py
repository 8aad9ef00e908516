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
    """Answer a question with a span of its context, or several questions, each with its own context.

    The result for one question is an :class:`~producer.contract.results.AnswerSpan`, or if ``top_k`` is over 1 a list
    of those, best first. For several questions, it is a list of such results.
    """

    task: ClassVar[TaskName] = TaskName.QUESTION_ANSWERING
    item_fields: ClassVar[tuple[str, ...]] = ("question", "context")

    question: OneTextOrSeveral
    context: OneTextOrSeveral
    #: How many answers to return at most.
    top_k: Annotated[int, Field(ge=1, le=MAX_ANSWERS)] = 1
    #: Maximum window of question and context together, in tokens. If not given, at most the model's input length.
    max_seq_len: Annotated[int, Field(ge=1)] = 384
    #: Overlap between the windows of a long context, in tokens. If not given, at most half a window.
    doc_stride: Annotated[int, Field(ge=0)] = 128
    #: Maximum length of an answer, in tokens.
    max_answer_len: Annotated[int, Field(ge=1)] = 15
    #: Accepted without effect, as in ``transformers`` with the tokenizers of these models: a question is never cut.
    max_question_len: Annotated[int, Field(ge=1)] = 64
    #: Also consider that the context has no answer: an empty answer at position 0, with a score of its own.
    handle_impossible_answer: bool = False
    #: Extend answers to whole words.
    align_to_words: bool = True

    @field_validator("context")
    @classmethod
    def _check_pairs(cls, value: str | list[str], info: ValidationInfo) -> str | list[str]:
        question = info.data.get("question", value)
        if isinstance(question, str) != isinstance(value, str) or (
            isinstance(value, list) and len(value) != len(question)
        ):
            raise PydanticCustomError(
                ErrorCode.WRONG_TYPE.value, "must match question: both strings, or both lists of the same length"
            )
        return value

    @field_validator("doc_stride")
    @classmethod
    def _check_stride(cls, value: int, info: ValidationInfo) -> int:
        longest = info.data.get("max_seq_len", value)
        if value > longest:
            raise PydanticCustomError(
                ErrorCode.OUT_OF_RANGE.value, "must not exceed max_seq_len, which is {limit}", {"limit": longest}
            )
        return value

    @property
    def items(self) -> list[tuple[str, str]]:
        """Pairs of a question and its context, even if the caller sent one."""
        if isinstance(self.question, str) and isinstance(self.context, str):
            return [(self.question, self.context)]
        return list(zip(self.question, self.context, strict=True))

    def window_tokens(self, max_model_tokens: int) -> tuple[int, int]:
        """Window length and overlap, in tokens; parameters that were not given default as in ``transformers``.

        Args:
            max_model_tokens: the model's maximum input length, in tokens.
        """
        given = self.model_fields_set
        longest = self.max_seq_len if "max_seq_len" in given else min(self.max_seq_len, max_model_tokens)
        return longest, self.doc_stride if "doc_stride" in given else min(self.doc_stride, longest // 2)
