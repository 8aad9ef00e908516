"""Builds the request of each task from the arguments of a call. No I/O; both clients use it.

A parameter at its default value is not sent; the worker applies the same default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, TypeGuard

from producer.contract import (
    QuestionAnsweringRequest,
    TextClassificationRequest,
    TextInput,
    ZeroShotClassificationRequest,
)
from producer.contract.requests.base import Request

__all__ = ["FunctionToApply", "TextLike", "question_answering", "text_classification", "zero_shot_classification"]

TextLike = str | TextInput | Mapping[str, str]
FunctionToApply = Literal["sigmoid", "softmax", "none"]
#: Sequences in Python, but not lists of inputs.
_NOT_LISTS = (str, bytes, bytearray, memoryview)


def text_classification(inputs: object, **parameters: object) -> TextClassificationRequest:
    """The request of ``classify``.

    Raises:
        InvalidRequest: it breaks the contract.
    """
    wire = [_to_wire(item) for item in inputs] if _is_list(inputs) else _to_wire(inputs)
    schema = TextClassificationRequest
    return schema.parse({"inputs": wire, **_non_default(schema, parameters)})


def zero_shot_classification(
    inputs: object, candidate_labels: object, **parameters: object
) -> ZeroShotClassificationRequest:
    """The request of ``classify_zero_shot``.

    Raises:
        InvalidRequest: it breaks the contract.
    """
    schema = ZeroShotClassificationRequest
    own = {"inputs": _as_plain_list(inputs), "candidate_labels": _as_plain_list(candidate_labels)}
    return schema.parse({**own, **_non_default(schema, parameters)})


def question_answering(question: object, context: object, **parameters: object) -> QuestionAnsweringRequest:
    """The request of ``answer``.

    Raises:
        InvalidRequest: it breaks the contract.
    """
    schema = QuestionAnsweringRequest
    own = {"question": _as_plain_list(question), "context": _as_plain_list(context)}
    return schema.parse({**own, **_non_default(schema, parameters)})


def _is_list(inputs: object) -> TypeGuard[Sequence[object]]:
    return isinstance(inputs, Sequence) and not isinstance(inputs, _NOT_LISTS)


def _to_wire(item: object) -> object:
    if isinstance(item, TextInput):
        return item.model_dump(mode="json")
    return dict(item) if isinstance(item, Mapping) else item


def _as_plain_list(values: object) -> object:
    return list(values) if _is_list(values) else values


@cache
def _defaults_of(schema: type[Request]) -> dict[str, object]:
    return {name: field.default for name, field in schema.model_fields.items()}


def _non_default(schema: type[Request], parameters: Mapping[str, object]) -> dict[str, object]:
    """The parameters to send. Types are compared too: ``True`` equals the default 1, but the schema refuses it."""
    defaults = _defaults_of(schema)
    return {
        name: value
        for name, value in parameters.items()
        if type(value) is not type(defaults[name]) or value != defaults[name]
    }
