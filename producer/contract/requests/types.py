"""The types of request parameters."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag

from producer.contract.limits import MAX_INPUTS, MAX_LABEL_CHARACTERS, MAX_MODEL_NAME_CHARACTERS, MAX_TEXT_CHARACTERS
from producer.contract.validation import check_text

__all__ = ["Label", "ModelName", "OneTextOrSeveral", "Schema", "Text", "one_or_many"]

#: What the schema says of ``check_text``, which has errors of its own.
_NOT_EMPTY: dict[str, JsonValue] = {"minLength": 1}

Text = Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS, json_schema_extra=_NOT_EMPTY), AfterValidator(check_text)]
Label = Annotated[str, Field(max_length=MAX_LABEL_CHARACTERS, json_schema_extra=_NOT_EMPTY), AfterValidator(check_text)]
ModelName = Annotated[
    str, Field(max_length=MAX_MODEL_NAME_CHARACTERS, json_schema_extra=_NOT_EMPTY), AfterValidator(check_text)
]


class Schema(BaseModel):
    """Base of all schemas: strict, without unknown fields, immutable. Its errors never repeat the input."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def one_or_many(value: object) -> str:
    """The tag of the union branch that a value belongs to: ``many`` for a list, else ``one``."""
    return "many" if isinstance(value, list) else "one"


OneTextOrSeveral = Annotated[
    Annotated[Text, Tag("one")] | Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS), Tag("many")],
    Discriminator(one_or_many),
]
