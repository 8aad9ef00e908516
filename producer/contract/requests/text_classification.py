"""The request of ``text-classification``."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from producer.contract.limits import MAX_INPUTS
from producer.contract.names import TaskName
from producer.contract.requests.base import Request
from producer.contract.requests.types import Schema, Text, one_or_many
from producer.errors import ErrorCode

__all__ = ["TextClassificationRequest", "TextInput"]


class TextInput(Schema):
    """One text, or a pair of texts; a plain ``str`` stands for a text alone."""

    text: Text
    text_pair: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_plain_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"text": value}
        if not isinstance(value, (dict, cls)):
            raise PydanticCustomError(
                ErrorCode.WRONG_TYPE.value, "must be a string or an object with text and text_pair"
            )
        return value

    @model_serializer
    def _to_wire(self) -> str | dict[str, str]:
        return self.text if self.text_pair is None else {"text": self.text, "text_pair": self.text_pair}


class TextClassificationRequest(Request):
    """Label one text, a pair of texts, or up to :data:`MAX_INPUTS` of those.

    The result of one input is a list of :class:`~producer.contract.results.LabelScore`, best first; of a list,
    a list of such lists.
    """

    task: ClassVar[TaskName] = TaskName.TEXT_CLASSIFICATION

    inputs: Annotated[
        Annotated[TextInput, Tag("one")]
        | Annotated[list[TextInput], Field(min_length=1, max_length=MAX_INPUTS), Tag("many")],
        Discriminator(one_or_many),
    ]
    #: How many labels to return, best first; None returns all.
    top_k: Annotated[int, Field(ge=1)] | None = 1
    #: What turns logits into scores; None takes what the model's head calls for.
    function_to_apply: Literal["sigmoid", "softmax", "none"] | None = None
    #: Cut texts longer than the model reads; False makes such a text an error.
    truncation: bool = True

    @property
    def items(self) -> list[TextInput]:
        """The inputs as a list, whatever the caller sent."""
        return self.inputs if isinstance(self.inputs, list) else [self.inputs]
