"""Which messages with one id are one request."""

from __future__ import annotations

import pytest

from producer.contract import ONCE_HEADER, sending_of


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("a name", "a name"),
        (True, "the tag"),
        (False, None),
        (None, None),
        ("", None),
        ("x" * 101, None),
        (["x"], None),
    ],
)
def test_the_header_names_the_sending_or_stands_for_the_delivery_tag(value: object, name: str | None) -> None:
    assert sending_of({ONCE_HEADER: value}, "the tag") == name


def test_without_the_header_each_message_is_a_request() -> None:
    assert sending_of({}, "the tag") is None
