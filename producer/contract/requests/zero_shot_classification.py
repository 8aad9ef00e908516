"""The request of ``zero-shot-classification``."""

from __future__ import annotations

from string import Formatter
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from producer.contract.limits import MAX_LABEL_CHARACTERS, MAX_LABELS, MAX_SEQUENCES
from producer.contract.names import TaskName
from producer.contract.requests.base import Request
from producer.contract.requests.types import Label, OneTextOrSeveral, Text, one_or_many
from producer.errors import ErrorCode

__all__ = ["ZeroShotClassificationRequest"]


#: How often a template may repeat its label: every place is another label's length to tokenize.
_MAX_PLACES = 4


def _check_template(template: str) -> str:
    """Plain ``{}`` or ``{0}`` only: a width such as ``{:999999999}`` would have ``str.format`` fill memory."""
    try:
        fields = [field for field in Formatter().parse(template) if field[1] is not None]
    except ValueError:
        fields = []
    names = [name for _, name, _, _ in fields]
    if len(names) > _MAX_PLACES:
        limit = {"limit": _MAX_PLACES}
        raise PydanticCustomError(ErrorCode.NOT_ALLOWED.value, "must not have more than {limit} places", limit)
    if any(spec or conversion for _, _, spec, conversion in fields) or (names != [""] and set(names) != {"0"}):
        raise PydanticCustomError(
            ErrorCode.NOT_ALLOWED.value, "must contain {} where the label goes, and no other braces but {{ and }}"
        )
    return template


def _split_labels(labels: str | list[str]) -> list[str]:
    if isinstance(labels, list):
        return labels
    return [stripped for label in labels.split(",") if (stripped := label.strip())]


class ZeroShotClassificationRequest(Request):
    """Score candidate labels that the model was never trained on, for one text or several.

    The result of one input is a :class:`~producer.contract.results.ZeroShotResult`; of a list, a list of those.
    """

    task: ClassVar[TaskName] = TaskName.ZERO_SHOT_CLASSIFICATION

    inputs: OneTextOrSeveral
    #: The labels, as a list or as one comma-separated string.
    candidate_labels: Annotated[
        Annotated[Text, Tag("one")] | Annotated[list[Label], Field(min_length=1, max_length=MAX_LABELS), Tag("many")],
        Discriminator(one_or_many),
    ]
    #: The sentence that a label becomes; ``{}`` stands for the label.
    hypothesis_template: Annotated[Label, AfterValidator(_check_template)] = "This example is {}."
    #: True scores every label on its own; False makes the scores sum to one.
    multi_label: bool = False

    @field_validator("candidate_labels")
    @classmethod
    def _check_labels(cls, value: str | list[str], info: ValidationInfo) -> str | list[str]:
        labels = _split_labels(value)
        inputs = info.data.get("inputs")
        if not labels:
            raise PydanticCustomError(ErrorCode.EMPTY.value, "must name at least one label")
        if len(labels) > MAX_LABELS:
            limit = {"limit": MAX_LABELS}
            raise PydanticCustomError(ErrorCode.TOO_MANY.value, "names more than {limit} labels", limit)
        if any(len(label) > MAX_LABEL_CHARACTERS for label in labels):
            limit = {"limit": MAX_LABEL_CHARACTERS}
            # pydantic's name for it; what it calls "too_long" is a list.
            raise PydanticCustomError("string_too_long", "has a label of over {limit} characters", limit)
        if isinstance(inputs, list) and len(inputs) * len(labels) > MAX_SEQUENCES:
            limit = {"limit": MAX_SEQUENCES}
            raise PydanticCustomError(ErrorCode.TOO_MANY.value, "times the inputs is more than {limit}", limit)
        return value

    @property
    def items(self) -> list[str]:
        """The inputs as a list, whatever the caller sent."""
        return self.inputs if isinstance(self.inputs, list) else [self.inputs]

    @property
    def labels(self) -> list[str]:
        """The candidate labels as a list, whatever the caller sent."""
        return _split_labels(self.candidate_labels)

    @property
    def hypotheses(self) -> list[str]:
        """What is asked of the model, label by label."""
        return [self.hypothesis_template.format(label) for label in self.labels]
