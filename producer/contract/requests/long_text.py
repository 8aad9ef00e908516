"""What the requests of both classification tasks say about a text that is longer than the model reads."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from producer.contract.limits import MIN_WINDOW_TOKENS
from producer.contract.requests.base import Request
from producer.errors import ErrorCode

__all__ = ["CombineWindows", "LongTextRequest", "Truncation"]

Truncation = bool | Literal["windows"]
CombineWindows = Literal["mean", "max"]
_ACCEPTED = "true, false or 'windows'"


def _check_truncation(value: object) -> object:
    """Accept what the type says. A union's own errors would name its branches instead of the parameter."""
    if isinstance(value, bool) or value == "windows":
        return value
    if isinstance(value, str):
        raise PydanticCustomError(ErrorCode.NOT_ALLOWED.value, "must be {limit}", {"limit": _ACCEPTED})
    raise PydanticCustomError(ErrorCode.WRONG_TYPE.value, f"must be {_ACCEPTED}")


class LongTextRequest(Request):
    """A classification request: its text may be longer than the model reads.

    With windows, the model reads all of such a text, in overlapping windows. What is classified together with the text
    (a hypothesis, or the shorter text of a pair) is repeated in every window and never cut. Each window gets scores as
    a text of its own would, the score function applied, and ``combine_windows`` makes one result of them. A text that
    fits into one window gets exactly the answer that it gets without windows.
    """

    later_fields: ClassVar[tuple[str, ...]] = ("combine_windows", "max_seq_len", "doc_stride")

    #: True cuts a text that is longer than the model reads, False makes it an error, "windows" reads all of it.
    truncation: Annotated[Truncation, BeforeValidator(_check_truncation)] = True
    #: How the scores of the windows become those of the text. "mean": their mean, label by label. "max": where the
    #: labels compete (softmax), the scores of the window that is the most certain, which is the one with the highest
    #: score; otherwise the highest score of each label.
    combine_windows: CombineWindows = "mean"
    #: Maximum length of a window, with all that it repeats and the special tokens, in tokens; None for what the model
    #: reads.
    max_seq_len: Annotated[int, Field(ge=MIN_WINDOW_TOKENS)] | None = None
    #: Overlap between the windows, in tokens; at most half of what a window has for the text. If not given, at most
    #: that.
    doc_stride: Annotated[int, Field(ge=0)] = 128

    def window_overlap(self, max_text_tokens: int) -> int:
        """Overlap between the windows, in tokens.

        Args:
            max_text_tokens: most tokens of the text in a window.
        """
        return self.doc_stride if "doc_stride" in self.model_fields_set else min(self.doc_stride, max_text_tokens // 2)
