"""Reads what the source says about a parameter: the comment lines that begin with ``#:`` above it."""

from __future__ import annotations

import inspect
import re

from producer.contract.requests.types import Schema

__all__ = ["described_fields"]

_FIELD = re.compile(r"    (\w+): ")
_COMMENT = "    #: "
#: Python's words, and those of JSON.
_WORDS = {"None": "null", "True": "true", "False": "false"}


def described_fields(schema: type[Schema]) -> dict[str, str]:
    """The comment on each parameter of a schema, those of its bases included; empty for one that has none."""
    found: dict[str, str] = dict.fromkeys(schema.model_fields, "")
    for level in reversed(schema.__mro__):
        if issubclass(level, Schema) and level is not Schema:
            found |= {name: text for name, text in _comments_in(inspect.getsource(level)) if name in found}
    return found


def _comments_in(source: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    lines: list[str] = []
    for line in source.splitlines():
        if line.startswith(_COMMENT):
            lines.append(line.removeprefix(_COMMENT).strip())
            continue
        field = _FIELD.match(line)
        if field is not None and lines:
            found.append((field[1], _in_words_of_json(" ".join(lines))))
        lines = []
    return found


def _in_words_of_json(text: str) -> str:
    return re.sub(r"\b(?:None|True|False)\b", lambda found: _WORDS[found[0]], text.replace("``", ""))
