"""The base of the requests of all tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import ValidationError

from producer.contract.items import ParsedItems
from producer.contract.names import TaskName
from producer.contract.requests.types import ModelName, Schema
from producer.contract.validation import errors_by_item, invalid_request
from producer.errors import ErrorCode, InvalidRequest

__all__ = ["Request"]


class Request(Schema):
    """A request to the workers; each task has a subclass.

    The constructor validates and raises pydantic's ``ValidationError``; :meth:`parse` raises the contract's error.

    Attributes:
        task: the task that answers it.
        item_fields: the parameters that hold one value per item if the request has several.
        later_fields: the parameters that were added after others had positions. They follow ``model``.
    """

    task: ClassVar[TaskName]
    item_fields: ClassVar[tuple[str, ...]] = ("inputs",)
    later_fields: ClassVar[tuple[str, ...]] = ()

    #: Name of the model to use; None for the worker's default for the task.
    model: ModelName | None = None

    @classmethod
    def positions(cls) -> list[str]:
        """The parameters in the order of positional arguments.

        First the task's own, then those of several tasks, ``model``, and last those that were added later.
        """
        levels = [level.model_fields for level in cls.__mro__ if issubclass(level, Request)]
        first = [
            name
            for fields, inherited in zip(levels, [*levels[1:], {}], strict=True)
            for name in fields
            if name not in inherited and name not in cls.later_fields
        ]
        return [*first, *cls.later_fields]

    @classmethod
    def bind(cls, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Assign positional arguments, in order, to the parameters that are not given by keyword.

        In a chain, Celery passes a task's result to the next task as the first positional argument. It becomes the
        first parameter that the signature leaves open: for example, the context of a question.

        Returns:
            All arguments by name.

        Raises:
            InvalidRequest: there are more positional arguments than open parameters.
        """
        if not args:
            return kwargs
        left_open = [name for name in cls.positions() if name not in kwargs]
        if len(args) > len(left_open):
            raise InvalidRequest.of(
                ErrorCode.TOO_MANY,
                f"args: {len(args)} positional arguments for {len(left_open)} parameters that are not given by keyword",
                field="args",
                limit=len(left_open),
            )
        return {**dict(zip(left_open, args, strict=False)), **kwargs}

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
        """Validate the arguments of a message. Invalid items of a request with several are set aside.

        Raises:
            InvalidRequest: the request has one item, or something other than an item is invalid.
        """
        try:
            return ParsedItems(cls.model_validate(dict(arguments)), {})
        except ValidationError as error:
            invalid = errors_by_item(error, arguments, fields=cls.item_fields)
            lists = [arguments.get(field) for field in cls.item_fields]
            lengths = {len(values) if isinstance(values, list) else 1 for values in lists}
            if not invalid or len(lengths) > 1 or lengths == {1}:
                raise invalid_request(error, arguments, known=cls.model_fields) from None
        valid = dict(arguments)
        for field in cls.item_fields:
            valid[field] = [value for index, value in enumerate(arguments[field]) if index not in invalid]
        if not valid[cls.item_fields[0]]:
            return ParsedItems(None, invalid)
        return ParsedItems(cls.parse(valid), invalid)

    def to_arguments(self) -> dict[str, Any]:
        """The keyword arguments to send, in JSON types; parameters that were not set are left out."""
        return self.model_dump(mode="json", exclude_unset=True)

    @property
    def has_several(self) -> bool:
        """Whether the caller sent a list of items, and so receives a list."""
        return isinstance(getattr(self, self.item_fields[0]), list)
