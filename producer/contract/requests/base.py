"""What the requests of all tasks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import ValidationError

from producer.contract.items import ParsedItems
from producer.contract.names import TaskName
from producer.contract.requests.types import ModelName, Schema
from producer.contract.validation import findings_by_item, invalid_request
from producer.errors import ErrorCode, InvalidRequest

__all__ = ["Request"]


class Request(Schema):
    """What all three requests share.

    Making one validates it, with pydantic's own ``ValidationError``; :meth:`parse` gives the contract's error instead.
    """

    task: ClassVar[TaskName]
    #: The parameters that hold one value per item when the request has several.
    item_fields: ClassVar[tuple[str, ...]] = ("inputs",)

    #: Name of the model to use; None leaves it to the worker's default for the task.
    model: ModelName | None = None

    @classmethod
    def positions(cls) -> list[str]:
        """The parameters in the order in which positional arguments fill them: the task's own, then ``model``."""
        shared = Request.model_fields
        return [*(name for name in cls.model_fields if name not in shared), *shared]

    @classmethod
    def bind(cls, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """All arguments by name: positional ones fill, in order, the parameters that no keyword names.

        Celery hands a chain's result on as the first positional argument, so that it becomes the first parameter that
        the signature leaves open: the context of a question, say.

        Raises:
            InvalidRequest: there are more positional arguments than open parameters.
        """
        if not args:
            return kwargs
        left_open = [name for name in cls.positions() if name not in kwargs]
        if len(args) > len(left_open):
            raise InvalidRequest.of(
                ErrorCode.TOO_MANY,
                f"args: {len(args)} positional arguments, but only {len(left_open)} parameters are left for them",
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
