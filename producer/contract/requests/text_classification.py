"""The request of ``text-classification``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from producer.contract.limits import MAX_INPUTS
from producer.contract.names import TaskName
from producer.contract.requests.long_text import LongTextRequest
from producer.contract.requests.types import Schema, Text, one_or_many
from producer.errors import ErrorCode

__all__ = ["TextClassificationRequest", "TextInput"]


class TextInput(Schema):
    """One text, or a pair of texts. A plain ``str`` is accepted as a text without a pair."""

    text: Text
    text_pair: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_plain_text(cls, value: object) -> object:
        if isinstance(value, str):
            return {"text": value}
        if not isinstance(value, (dict, cls)):
            raise PydanticCustomError(
                ErrorCode.WRONG_TYPE.value, "must be a string, or an object with text and optionally text_pair"
            )
        return value

    @model_serializer
    def _to_wire(self) -> str | dict[str, str]:
        return self.text if self.text_pair is None else {"text": self.text, "text_pair": self.text_pair}


class TextClassificationRequest(LongTextRequest):
    """Classify one text, one pair of texts, or up to :data:`MAX_INPUTS` of those.

    The result for one input is a list of :class:`~producer.contract.results.LabelScore`, best first; for a list, a list
    of such lists.

    Of a long pair, the longer text is cut or split into windows; of two of equal length, the first is split. The
    shorter one may take up to three quarters of a window.
    """

    task: ClassVar[TaskName] = TaskName.TEXT_CLASSIFICATION

    inputs: Annotated[
        Annotated[TextInput, Tag("one")]
        | Annotated[list[TextInput], Field(min_length=1, max_length=MAX_INPUTS), Tag("many")],
        Discriminator(one_or_many),
    ]
    #: How many labels to return, best first; None returns all.
    top_k: Annotated[int, Field(ge=1)] | None = 1
    #: The function that turns logits into scores; None for the one that fits the model.
    function_to_apply: Literal["sigmoid", "softmax", "none"] | None = None

    @property
    def items(self) -> list[TextInput]:
        """The inputs as a list, even if the caller sent one."""
        return self.inputs if isinstance(self.inputs, list) else [self.inputs]
