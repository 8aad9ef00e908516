"""The formats that ``map`` reads, record by record, so that a file may be larger than memory."""

from __future__ import annotations

import csv
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from producer.commands.failures import ExitStatus, Failure

__all__ = ["InputFormat", "column_names", "count_records", "format_of", "raw_records"]

#: How many rows of a Parquet file are in memory at a time, beside what the file's row groups demand.
_ROWS_AT_ONCE = 1024


class InputFormat(StrEnum):
    """How the records stand in the input."""

    JSONL = "jsonl"
    LINES = "lines"
    CSV = "csv"
    PARQUET = "parquet"
    OPENAI_BATCH = "openai-batch"


_BY_ENDING = {".csv": InputFormat.CSV, ".parquet": InputFormat.PARQUET, ".txt": InputFormat.LINES}


def format_of(path: str, stated: str | None) -> InputFormat:
    """The stated format, or that of the file's ending; JSON Lines if it says nothing."""
    if stated is not None:
        return InputFormat(stated)
    return _BY_ENDING.get(Path(path).suffix.lower(), InputFormat.JSONL)


def raw_records(path: str, input_format: InputFormat, columns: Collection[str] = ()) -> Iterator[Any]:
    """The records as they are: lines that are not blank, or the rows of a table as mappings.

    Args:
        path: of the file; ``-`` for standard input.
        input_format: how the records stand in it.
        columns: the columns of a table that are read; the others are passed over.

    Raises:
        Failure: the input is not in this format, or what reads it is not installed.
    """
    try:
        if input_format is InputFormat.PARQUET:
            yield from _parquet_rows(path, columns)
        elif input_format is InputFormat.CSV:
            yield from _csv_rows(path)
        else:
            # Bytes that are not UTF-8 become lone surrogates, which the contract refuses: such a line does not stop
            # the others.
            with click.open_file(path, encoding="utf-8", errors="surrogateescape") as file:
                yield from (line for line in file if line.strip())
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror or error}", ExitStatus.WRONG_USAGE) from None


def column_names(path: str, input_format: InputFormat) -> list[str] | None:
    """The columns of a table in a file; None if the input has none, or is a pipe."""
    if path == "-" or not Path(path).is_file():
        return None
    if input_format is InputFormat.PARQUET:
        return list(_parquet_file(path).schema_arrow.names)
    if input_format is InputFormat.CSV:
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return next(csv.reader(file), [])
    return None


def count_records(path: str, input_format: InputFormat) -> int | None:
    """How many records there are; None if they come from a pipe."""
    if path == "-":
        with suppress(OSError, ValueError):
            return _count_lines_left() if input_format not in {InputFormat.CSV, InputFormat.PARQUET} else None
        return None
    if not Path(path).is_file():
        return None
    if input_format is InputFormat.PARQUET:
        return int(_parquet_file(path).metadata.num_rows)
    return sum(1 for _ in raw_records(path, input_format))


def _count_lines_left() -> int | None:
    """Of standard input, if it is a file."""
    file = sys.stdin.buffer
    if not file.seekable():
        return None
    here = file.tell()
    total = sum(1 for line in file if line.strip())
    file.seek(here)
    return total


def _csv_rows(path: str) -> Iterator[dict[str, str]]:
    csv.field_size_limit(sys.maxsize)
    with click.open_file(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        if hasattr(file, "reconfigure"):
            # The line ends in a quoted text are its own.
            file.reconfigure(newline="")
        rows = csv.DictReader(file, strict=True)
        try:
            for row in rows:
                # A row with more values than the header has columns has the others under None.
                row.pop(None, None)
                yield row
        except csv.Error as error:
            raise Failure(f"{path}, line {rows.reader.line_num}: not CSV: {error}", ExitStatus.WRONG_USAGE) from None


def _parquet_file(path: str) -> Any:
    if path == "-":
        raise Failure("Parquet is read from a file, not from standard input", ExitStatus.WRONG_USAGE)
    if find_spec("pyarrow") is None:
        raise Failure(
            f"{path}: reading Parquet needs pyarrow; install it with: pip install 'celeriac[parquet]'",
            ExitStatus.WRONG_USAGE,
        )
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise Failure(f"{path}: not Parquet: {error}", ExitStatus.WRONG_USAGE) from None


def _parquet_rows(path: str, columns: Collection[str]) -> Iterator[dict[str, Any]]:
    file = _parquet_file(path)
    chosen = [name for name in file.schema_arrow.names if name in columns]
    for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=chosen):
        yield from batch.to_pylist()
