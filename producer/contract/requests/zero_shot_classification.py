"""The request of ``zero-shot-classification``."""

from __future__ import annotations

from string import Formatter
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from producer.contract.limits import MAX_LABEL_CHARACTERS, MAX_LABELS, MAX_SEQUENCES
from producer.contract.names import TaskName
from producer.contract.requests.long_text import LongTextRequest
from producer.contract.requests.types import Label, OneTextOrSeveral, Text, one_or_many
from producer.errors import ErrorCode

__all__ = ["ZeroShotClassificationRequest"]


#: How often a template may repeat the label; each repetition adds the label's length to the text to tokenize.
_MAX_PLACEHOLDERS = 4


def _check_template(template: str) -> str:
    """Accept only plain ``{}`` or ``{0}``: with a width such as ``{:999999999}``, ``str.format`` would fill memory."""
    try:
        fields = [field for field in Formatter().parse(template) if field[1] is not None]
    except ValueError:
        fields = []
    names = [name for _, name, _, _ in fields]
    if len(names) > _MAX_PLACEHOLDERS:
        limit = {"limit": _MAX_PLACEHOLDERS}
        raise PydanticCustomError(ErrorCode.NOT_ALLOWED.value, "must not contain more than {limit} placeholders", limit)
    if any(spec or conversion for _, _, spec, conversion in fields) or (names != [""] and set(names) != {"0"}):
        raise PydanticCustomError(
            ErrorCode.NOT_ALLOWED.value, "must contain {} where the label goes; write other braces as {{ and }}"
        )
    return template


def _split_labels(labels: str | list[str]) -> list[str]:
    if isinstance(labels, list):
        return labels
    return [stripped for label in labels.split(",") if (stripped := label.strip())]


class ZeroShotClassificationRequest(LongTextRequest):
    """Score candidate labels that the model was never trained on, for one text or several.

    The result for one input is a :class:`~producer.contract.results.ZeroShotResult`; for a list, a list of those.

    Only the text is cut or split into windows, never a hypothesis. A hypothesis may take up to three quarters of
    a window. All labels are tested on the same windows, made for the longest hypothesis. The
    labels compete unless ``multi_label`` is set or there is only one.
    """

    task: ClassVar[TaskName] = TaskName.ZERO_SHOT_CLASSIFICATION
    later_fields: ClassVar[tuple[str, ...]] = ("truncation", *LongTextRequest.later_fields)

    inputs: OneTextOrSeveral
    #: The labels, as a list or as one comma-separated string.
    candidate_labels: Annotated[
        Annotated[Text, Tag("one")] | Annotated[list[Label], Field(min_length=1, max_length=MAX_LABELS), Tag("many")],
        Discriminator(one_or_many),
    ]
    #: The sentence to test for each label; ``{}`` stands for the label.
    hypothesis_template: Annotated[Label, AfterValidator(_check_template)] = "This example is {}."
    #: Score each label independently; if False, the scores sum to 1.
    multi_label: bool = False

    @field_validator("candidate_labels")
    @classmethod
    def _check_labels(cls, value: str | list[str], info: ValidationInfo) -> str | list[str]:
        labels = _split_labels(value)
        inputs = info.data.get("inputs")
        if not labels:
            raise PydanticCustomError(ErrorCode.EMPTY.value, "must contain at least one label")
        if len(labels) > MAX_LABELS:
            limit = {"limit": MAX_LABELS}
            raise PydanticCustomError(ErrorCode.TOO_MANY.value, "must not contain more than {limit} labels", limit)
        if any(len(label) > MAX_LABEL_CHARACTERS for label in labels):
            limit = {"limit": MAX_LABEL_CHARACTERS}
            # pydantic's type for a long string; its "too_long" is for lists.
            raise PydanticCustomError(
                "string_too_long", "must not contain a label longer than {limit} characters", limit
            )
        if isinstance(inputs, list) and len(inputs) * len(labels) > MAX_SEQUENCES:
            limit = {"limit": MAX_SEQUENCES}
            raise PydanticCustomError(
                ErrorCode.TOO_MANY.value, "number of labels times number of inputs must not exceed {limit}", limit
            )
        return value

    @property
    def items(self) -> list[str]:
        """The inputs as a list, even if the caller sent one."""
        return self.inputs if isinstance(self.inputs, list) else [self.inputs]

    @property
    def labels(self) -> list[str]:
        """The candidate labels as a list, even if the caller sent a string."""
        return _split_labels(self.candidate_labels)

    @property
    def hypotheses(self) -> list[str]:
        """The sentences that the model tests, one per label."""
        return [self.hypothesis_template.format(label) for label in self.labels]
