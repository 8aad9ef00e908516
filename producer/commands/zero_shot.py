"""``zero-shot``: scores of the caller's own labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from producer.commands.answering import answer_and_print, is_from_stdin, lines_of_stdin
from producer.commands.classify import label_rows
from producer.commands.connection import with_client
from producer.commands.parameters import check_options, given, json_option, long_text_options, model_option

if TYPE_CHECKING:
    from producer.client import Client

__all__ = ["command"]

_HELP = """Score labels of your own for texts, given as arguments or one on each line of standard input.

Prints a table on a terminal, else JSON Lines: {"result": {"sequence": …, "labels": …, "scores": …}, "model": …} or
{"error": …}.

\b
    python -m producer zero-shot --labels delivery,praise "The chair arrived with a cracked leg."
    python -m producer zero-shot --labels urgent,later --multi-label --json < tickets.txt

Exit status: 0 if every text was answered, 1 if one was not, 2 for a usage error, 3 if the broker is unavailable or no
worker answers in time.
"""


@click.command("zero-shot", help=_HELP)
@click.argument("texts", metavar="[TEXT...]", nargs=-1)
@click.option("--labels", "candidate_labels", required=True, help="The labels, separated by commas; up to 100.")
@click.option(
    "--hypothesis-template",
    help="The sentence that is tested for each label, with {} in its place.  [default: This example is {}.]",
)
@click.option("--multi-label", is_flag=True, help="Score each label independently; else the scores sum to 1.")
@long_text_options
@model_option
@json_option
@with_client(timeout_s=10.0)
def command(client: Client, *, texts: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Score labels for texts."""
    from producer.contract import ZeroShotClassificationRequest

    parameters = given(options)
    check_options(ZeroShotClassificationRequest, parameters)
    at_once = is_from_stdin(texts)
    answer_and_print(
        client,
        lines_of_stdin() if at_once else iter(texts),
        lambda text: ZeroShotClassificationRequest.parse({"inputs": text, **parameters}),
        _rows,
        as_json=as_json,
        at_once=at_once,
    )


def _rows(text: str, result: Any) -> Iterator[tuple[str, ...]]:
    pairs = zip(result["labels"], result["scores"], strict=True)
    return label_rows(text, [{"label": label, "score": score} for label, score in pairs])
