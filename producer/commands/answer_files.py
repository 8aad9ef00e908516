"""Where the outcomes of ``map`` go: one line each, in the order of the records, so that the lines say how far it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import click

from producer.chunks import Outcome
from producer.commands.json_lines import as_bytes, as_object
from producer.commands.openai_batch import answer_line, error_line
from producer.commands.records import Record
from producer.outcomes import Answer

__all__ = ["AnswerFile", "AnswerSink", "BatchFiles", "HowFar", "StandardOutput", "how_far"]

_BLOCK_BYTES = 1 << 20


class AnswerSink(Protocol):
    """Takes outcomes."""

    def write(self, record: Record, outcome: Outcome) -> None:
        """Write one. After a kill it is there as a whole, or its line is cut off, or it is not there."""


class StandardOutput:
    """JSON Lines on standard output."""

    def write(self, record: Record, outcome: Outcome) -> None:
        """Print one; whoever reads a pipe has it at once."""
        click.echo(as_bytes(as_object(record.key, outcome)), nl=False)


class _Files:
    """Files that are appended to. Each line goes to the system by itself, so that their order survives a kill."""

    def __init__(self, *paths: Path) -> None:
        self._files = [FileIO(path, "a") for path in paths]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()


class AnswerFile(_Files):
    """JSON Lines in a file."""

    def write(self, record: Record, outcome: Outcome) -> None:
        """Append one."""
        _write(self._files[0], as_object(record.key, outcome))


class BatchFiles(_Files):
    """The output file and the error file of OpenAI's batches.

    Args:
        output: for answers.
        errors: for errors.
        run_id: of the run; the lines' ids are made of it.
    """

    def __init__(self, output: Path, errors: Path, run_id: str) -> None:
        super().__init__(output, errors)
        self._run_id = run_id

    def write(self, record: Record, outcome: Outcome) -> None:
        """Append one to the file that it belongs to."""
        answers, errors = self._files
        line_id = f"batch_req_{self._run_id}_{record.number}"
        if isinstance(outcome, Answer):
            _write(answers, answer_line(line_id, record.key, outcome))
        else:
            _write(errors, error_line(line_id, record.key, outcome))


@dataclass(frozen=True)
class HowFar:
    """What a file of answers has.

    Attributes:
        lines: how many whole lines.
        errors: how many of them are errors.
    """

    lines: int = 0
    errors: int = 0


def how_far(path: Path) -> HowFar:
    """How far a file of answers goes. A last line that is not whole is cut off."""
    if not path.exists():
        return HowFar()
    lines = errors = 0
    with path.open("r+b") as file:
        whole = 0
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(whole)
                break
            whole += len(line)
            lines += 1
            # Most lines need no parsing to tell.
            errors += b'"error": {' in line and "error" in json.loads(line)
    return HowFar(lines, errors)


def _write(file: FileIO, line: dict[str, Any]) -> None:
    left = memoryview(as_bytes(line))
    while left:
        # A disk that is nearly full takes a part.
        left = left[file.write(left) or 0 :]
