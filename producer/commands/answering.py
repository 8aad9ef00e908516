"""Answers a few texts, from the command line or from standard input, and prints the answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from producer.commands.failures import ExitStatus, reported

if TYPE_CHECKING:
    from producer.client import Client
    from producer.contract import Request

__all__ = ["answer_and_print", "is_from_stdin", "lines_of_stdin", "text_of_stdin"]

#: Makes the columns of a table from a text and its result; a result may take several rows.
Rows = Callable[[str, Any], Iterator[tuple[str, ...]]]


def is_from_stdin(texts: Sequence[str]) -> bool:
    """Whether the texts are those of standard input."""
    return not texts or list(texts) == ["-"]


def lines_of_stdin() -> Iterator[str]:
    """Each line that is not blank, as it arrives."""
    with _stdin() as file:
        yield from (line.rstrip("\r\n") for line in file if line.strip())


def text_of_stdin() -> str:
    """All of it."""
    with _stdin() as file:
        return str(file.read())


def answer_and_print(
    client: Client, texts: Iterator[str], make: Callable[[str], Request], rows: Rows, *, as_json: bool, at_once: bool
) -> None:
    """Answer texts in their order. The process ends with status 1 if one was not answered.

    Args:
        client: to send with.
        texts: what to answer.
        make: makes the request of a text; raises InvalidRequest.
        rows: what a table shows of a result.
        as_json: whether to print JSON Lines; they are printed too if nobody sees a table.
        at_once: whether a text must not wait for the next one.
    """
    from producer.commands.json_lines import as_bytes, as_object
    from producer.commands.records import InOrder
    from producer.contract import QueueClass
    from producer.errors import ServiceUnavailable, WaitTimeout
    from producer.options import DEFAULT_CHUNK_S
    from producer.outcomes import Answer

    is_table = sys.stdout.isatty() and not as_json
    failed = 0
    with reported():
        for record, outcome in InOrder(_records(texts, make)).run(
            lambda requests, _: client.map(
                requests, queue_class=QueueClass.INTERACTIVE, chunk_s=None if at_once else DEFAULT_CHUNK_S
            )
        ):
            if isinstance(outcome, ServiceUnavailable | WaitTimeout):
                raise outcome
            if isinstance(outcome, Answer) and is_table:
                for row in rows(record.text, outcome.result):
                    click.echo("  ".join(row))
                continue
            failed += not isinstance(outcome, Answer)
            if is_table:
                click.echo(f"error: {outcome}", err=True)
            else:
                click.echo(as_bytes(as_object(None, outcome)), nl=False)
    if failed:
        sys.exit(ExitStatus.NOT_ALL_ANSWERED)


def _records(texts: Iterator[str], make: Callable[[str], Request]) -> Iterator[Any]:
    from producer.commands.records import Record
    from producer.errors import InvalidRequest

    for number, text in enumerate(texts):
        try:
            yield Record(number, make(text), text=text)
        except InvalidRequest as error:
            yield Record(number, error, text=text)


def _stdin() -> Any:
    # Bytes that are not UTF-8 become lone surrogates, which the contract refuses: such a line does not stop the others.
    return click.open_file("-", encoding="utf-8", errors="surrogateescape")
