"""The contract between producers and workers: names, limits, request and result schemas, version.

The one source of truth. Task names are the pipeline tags of the Hugging Face hub; request and result shapes are those
of the pipelines of ``transformers`` 4.57, so that nobody learns a new schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from producer.errors import (
    ErrorCode,
    ErrorDetails,
    InvalidRequest,
    ModelFailed,
    RequestError,
    UnknownModel,
    UnknownTask,
)
from producer.items import ParsedItems
from producer.schemas import AnswerSpan, ItemFailure, LabelScore, ZeroShotResult
from producer.validation import check_text, findings_by_item, invalid_request

__all__ = [
    "CONTRACT_VERSION",
    "DEFAULT_QUEUE",
    "MAX_INPUTS",
    "MAX_LABELS",
    "MAX_LABEL_CHARACTERS",
    "MAX_REQUEST_BYTES",
    "MAX_TEXT_CHARACTERS",
    "REQUESTS",
    "SUPPORTED_VERSIONS",
    "VERSION_HEADER",
    "AnswerSpan",
    "ErrorCode",
    "ErrorDetails",
    "InvalidRequest",
    "ItemFailure",
    "LabelScore",
    "ModelFailed",
    "ParsedItems",
    "QuestionAnsweringRequest",
    "QueueClass",
    "Request",
    "RequestError",
    "TaskName",
    "TextClassificationRequest",
    "TextInput",
    "UnknownModel",
    "UnknownTask",
    "ZeroShotClassificationRequest",
    "ZeroShotResult",
    "queue_name",
]

#: Version of this contract; a worker of version N also answers N-1, so that deployments can roll.
CONTRACT_VERSION = 1
SUPPORTED_VERSIONS = frozenset({CONTRACT_VERSION - 1, CONTRACT_VERSION} - {0})
#: Message header that carries the version; a message without it is taken to be of the current version.
VERSION_HEADER = "celeriac_contract_version"

#: Most inputs in one message: 64 texts of 512 tokens stay inside the time limit on one core and a BERT-base.
MAX_INPUTS = 64
#: Longest single text, in Unicode code points.
MAX_TEXT_CHARACTERS = 100_000
#: Largest message body (the JSON of arguments), in bytes.
MAX_REQUEST_BYTES = 1024 * 1024
#: Most candidate labels of a zero-shot request.
MAX_LABELS = 100
#: Longest candidate label and longest hypothesis template, in Unicode code points.
MAX_LABEL_CHARACTERS = 500
#: Longest model name, in characters.
MAX_MODEL_NAME_CHARACTERS = 200

#: Celery's own default queue: where a stock producer's message lands when it names no queue.
DEFAULT_QUEUE = "celery"


class TaskName(StrEnum):
    """The three tasks, by their pipeline tag."""

    TEXT_CLASSIFICATION = "text-classification"
    ZERO_SHOT_CLASSIFICATION = "zero-shot-classification"
    QUESTION_ANSWERING = "question-answering"


class QueueClass(StrEnum):
    """Which of a task's two queues: interactive requests go before bulk ones."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


def queue_name(task: TaskName, queue_class: QueueClass = QueueClass.INTERACTIVE) -> str:
    """Name of the Redis list of a task: ``text-classification`` or ``text-classification.bulk``."""
    return task.value if queue_class is QueueClass.INTERACTIVE else f"{task.value}.bulk"


Text = Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS), AfterValidator(check_text)]
Label = Annotated[str, Field(max_length=MAX_LABEL_CHARACTERS), AfterValidator(check_text)]
ModelName = Annotated[str, Field(max_length=MAX_MODEL_NAME_CHARACTERS), AfterValidator(check_text)]


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class TextInput(_Schema):
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


def _one_or_many(value: Any) -> str:
    return "many" if isinstance(value, list) else "one"


OneTextOrSeveral = Annotated[
    Annotated[Text, Tag("one")] | Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS), Tag("many")],
    Discriminator(_one_or_many),
]


class Request(_Schema):
    """What all three requests share.

    Making one validates it, with pydantic's own ``ValidationError``; :meth:`parse` gives the contract's error instead.
    """

    task: ClassVar[TaskName]
    #: The parameters that hold one value per item when the request has several.
    item_fields: ClassVar[tuple[str, ...]] = ("inputs",)

    #: Name of the model to use; None leaves it to the worker's default for the task.
    model: ModelName | None = None

    @classmethod
    def parse(cls, arguments: Mapping[str, Any]) -> Self:
        """Validate the keyword arguments of a message or a call.

        Raises:
            InvalidRequest: naming the field and the limit.
        """
        try:
            return cls.model_validate(dict(arguments))
        except ValidationError as error:
            raise invalid_request(error, arguments, known=cls.model_fields) from None

    @classmethod
    def parse_items(cls, arguments: Mapping[str, Any]) -> ParsedItems[Self]:
        """Validate the arguments of a message; bad items of a request with several are set apart.

        Raises:
            InvalidRequest: the request has one item, or something else than an item is wrong.
        """
        try:
            return ParsedItems(cls.model_validate(dict(arguments)), {})
        except ValidationError as error:
            bad = findings_by_item(error, arguments, fields=cls.item_fields)
            lists = [arguments.get(field) for field in cls.item_fields]
            lengths = {len(values) if isinstance(values, list) else 1 for values in lists}
            if not bad or len(lengths) > 1 or lengths == {1}:
                raise invalid_request(error, arguments, known=cls.model_fields) from None
        good = dict(arguments)
        for field in cls.item_fields:
            good[field] = [value for index, value in enumerate(arguments[field]) if index not in bad]
        if not good[cls.item_fields[0]]:
            return ParsedItems(None, bad)
        return ParsedItems(cls.parse(good), bad)

    def to_arguments(self) -> dict[str, Any]:
        """The keyword arguments to send: what was set, in JSON types."""
        return self.model_dump(mode="json", exclude_unset=True)

    @property
    def has_several(self) -> bool:
        """Whether the caller sent lists, and so receives one."""
        return isinstance(getattr(self, self.item_fields[0]), list)


class TextClassificationRequest(Request):
    """Label one text, a pair of texts, or up to :data:`MAX_INPUTS` of those.

    The result of one input is a list of :class:`LabelScore`, best first; of a list, a list of such lists.
    """

    task: ClassVar[TaskName] = TaskName.TEXT_CLASSIFICATION

    inputs: Annotated[
        Annotated[TextInput, Tag("one")]
        | Annotated[list[TextInput], Field(min_length=1, max_length=MAX_INPUTS), Tag("many")],
        Discriminator(_one_or_many),
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


def _has_placeholder(template: str) -> str:
    if "{}" not in template:
        raise PydanticCustomError(ErrorCode.NOT_ALLOWED.value, "must contain {} where the label goes")
    return template


class ZeroShotClassificationRequest(Request):
    """Score candidate labels that the model was never trained on, for one text or several."""

    task: ClassVar[TaskName] = TaskName.ZERO_SHOT_CLASSIFICATION

    inputs: OneTextOrSeveral
    #: The labels, as a list or as one comma-separated string.
    candidate_labels: Annotated[
        Annotated[Text, Tag("one")] | Annotated[list[Label], Field(min_length=1, max_length=MAX_LABELS), Tag("many")],
        Discriminator(_one_or_many),
    ]
    hypothesis_template: Annotated[Label, AfterValidator(_has_placeholder)] = "This example is {}."
    #: True scores every label on its own; False makes the scores sum to one.
    multi_label: bool = False


class QuestionAnsweringRequest(Request):
    """Find the answer to a question as a span of a context; or several questions, each with its context."""

    task: ClassVar[TaskName] = TaskName.QUESTION_ANSWERING
    item_fields: ClassVar[tuple[str, ...]] = ("question", "context")

    question: OneTextOrSeveral
    context: OneTextOrSeveral
    top_k: Annotated[int, Field(ge=1)] = 1
    #: Overlap of two windows of a long context, in tokens.
    doc_stride: Annotated[int, Field(ge=0)] = 128
    #: Longest answer, in tokens.
    max_answer_len: Annotated[int, Field(ge=1)] = 15
    #: Longest window of question and context together, in tokens.
    max_seq_len: Annotated[int, Field(ge=1)] = 384
    #: Longest question, in tokens; a longer one is cut.
    max_question_len: Annotated[int, Field(ge=1)] = 64
    handle_impossible_answer: bool = False
    align_to_words: bool = True

    @model_validator(mode="after")
    def _both_alike(self) -> Self:
        one = isinstance(self.question, str), isinstance(self.context, str)
        if one[0] != one[1] or (not all(one) and len(self.question) != len(self.context)):
            raise PydanticCustomError(
                ErrorCode.WRONG_TYPE.value, "question and context must be two strings or two lists of equal length"
            )
        return self


#: The request schema of each task.
REQUESTS: dict[TaskName, type[Request]] = {
    schema.task: schema
    for schema in (TextClassificationRequest, ZeroShotClassificationRequest, QuestionAnsweringRequest)
}
