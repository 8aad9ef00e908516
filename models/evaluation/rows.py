"""Labelled rows from a JSON Lines file, for evaluation and calibration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from models.errors import WrongDataError

__all__ = ["read_rows"]

#: What is wrong with a row whose columns are there and of the right type; None if nothing is.
FindFault = Callable[[dict[str, Any]], str | None]


def read_rows(path: Path, columns: dict[str, type], find_fault: FindFault | None = None) -> list[dict[str, Any]]:
    """Read all rows of a file.

    Args:
        path: one JSON object a line, UTF-8.
        columns: what each row must hold, by name; further columns are left alone.
        find_fault: a further check of each row.

    Raises:
        WrongDataError: the file cannot be read, is empty, or a row misses a column; it names the line.
    """
    try:
        rows = list(_rows(path, columns, find_fault))
    except (OSError, UnicodeDecodeError) as error:
        raise WrongDataError(f"{path}: {error}") from error
    if not rows:
        raise WrongDataError(f"{path} has no rows")
    return rows


def _rows(path: Path, columns: dict[str, type], find_fault: FindFault | None) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise WrongDataError(f"{path}, line {number}: not JSON ({error})") from None
            if not isinstance(row, dict):
                raise WrongDataError(f"{path}, line {number}: not a JSON object")
            wrong = [name for name, kind in columns.items() if not isinstance(row.get(name), kind)]
            if wrong:
                raise WrongDataError(f"{path}, line {number}: needs a {columns[wrong[0]].__name__} named {wrong[0]!r}")
            fault = find_fault(row) if find_fault else None
            if fault is not None:
                raise WrongDataError(f"{path}, line {number}: {fault}")
            yield row
