"""Labelled rows from a JSON Lines file, for evaluation and calibration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from models.errors import InvalidDataError

__all__ = ["read_rows"]

#: Returns what is wrong with a row whose columns exist and have the right types, or None.
FindProblem = Callable[[dict[str, Any]], str | None]


def read_rows(path: Path, columns: dict[str, type], find_problem: FindProblem | None = None) -> list[dict[str, Any]]:
    """Read all rows of a file.

    Args:
        path: one JSON object per line, UTF-8.
        columns: the type of each required column, by name; other columns are ignored.
        find_problem: a further check of each row.

    Returns:
        The rows as they are in the file; at least one.

    Raises:
        InvalidDataError: naming the file, and the line if a row is invalid. The file cannot be read or has no rows, or
            a row is not a JSON object, lacks a column or has one of another type.
    """
    try:
        rows = list(_rows(path, columns, find_problem))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDataError(f"{path}: {error}") from error
    if not rows:
        raise InvalidDataError(f"{path} has no rows")
    return rows


def _rows(path: Path, columns: dict[str, type], find_problem: FindProblem | None) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InvalidDataError(f"{path}, line {number}: not JSON ({error})") from None
            if not isinstance(row, dict):
                raise InvalidDataError(f"{path}, line {number}: not a JSON object")
            wrong = [name for name, kind in columns.items() if not isinstance(row.get(name), kind)]
            if wrong:
                raise InvalidDataError(
                    f"{path}, line {number}: needs a {columns[wrong[0]].__name__} named {wrong[0]!r}"
                )
            problem = find_problem(row) if find_problem else None
            if problem is not None:
                raise InvalidDataError(f"{path}, line {number}: {problem}")
            yield row
