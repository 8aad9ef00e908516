"""The items of a request with several: invalid ones are set aside and merged back with the answers to the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from producer.contract.results import ItemFailure
from producer.errors import RequestError

__all__ = ["ParsedItems"]


class _Request(Protocol):
    @property
    def has_several(self) -> bool: ...


RequestT = TypeVar("RequestT", bound=_Request)


@dataclass(frozen=True)
class ParsedItems(Generic[RequestT]):
    """A request without its invalid items, and the errors of those.

    Attributes:
        request: the valid items; None if there are none.
        errors: the errors of the invalid items, by index in the items as they were sent.
    """

    request: RequestT | None
    errors: Mapping[int, RequestError]

    def merge(self, outcomes: Sequence[Any]) -> Any:
        """Merge the outcomes of the valid items with the errors of the invalid ones, in the shape that the caller gets.

        Args:
            outcomes: a result or an error for each item of :attr:`request`, in order.

        Raises:
            RequestError: the request has a single item, and it failed.
        """
        merged = list(outcomes)
        for index in sorted(self.errors):
            merged.insert(index, self.errors[index])
        if len(merged) == 1 and isinstance(merged[0], RequestError):
            raise merged[0]
        if self.request is not None and not self.request.has_several and not self.errors:
            return merged[0]
        return [_item_failure(o, i) if isinstance(o, RequestError) else o for i, o in enumerate(merged)]


def _item_failure(error: RequestError, index: int) -> ItemFailure:
    field = error.field
    if field and "[" not in field:
        field = f"{field}[{index}]"
    return {
        "error": {"code": error.code.value, "message": error.message, "field": field, "limit": error.limit},
    }
