"""``classify``: labels of texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from producer.commands.answering import answer_and_print, is_from_stdin, lines_of_stdin
from producer.commands.connection import with_client
from producer.commands.parameters import (
    check_options,
    given,
    json_option,
    long_text_options,
    model_option,
    top_k_option,
)

if TYPE_CHECKING:
    from producer.client import Client

__all__ = ["command", "label_rows"]

_HELP = """Classify texts, given as arguments or one on each line of standard input.

Prints a table on a terminal, else JSON Lines: {"result": [{"label": …, "score": …}], "model": …} or {"error": …}.

\b
    python -m producer classify "a charming and often affecting journey"
    python -m producer classify --top-k all --json "a delight" "a bore"
    head reviews.txt | python -m producer classify

Exit status: 0 if every text was answered, 1 if one was not, 2 for a usage error, 3 if the broker is unavailable or no
worker answers in time.
"""


@click.command("classify", help=_HELP)
@click.argument("texts", metavar="[TEXT...]", nargs=-1)
@click.option("--text-pair", help="The second text of a pair with each text, for models that take pairs.")
@top_k_option("labels of a text")
@click.option(
    "--function-to-apply",
    type=click.Choice(["sigmoid", "softmax", "none"]),
    help="What turns logits into scores; by default what fits the model.",
)
@long_text_options
@model_option
@json_option
@with_client(timeout_s=10.0)
def command(client: Client, *, texts: tuple[str, ...], text_pair: str | None, as_json: bool, **options: Any) -> None:
    """Classify texts."""
    from producer.contract import TextClassificationRequest

    parameters = given(options)
    check_options(TextClassificationRequest, parameters)

    def make(text: str) -> TextClassificationRequest:
        inputs = text if text_pair is None else {"text": text, "text_pair": text_pair}
        return TextClassificationRequest.parse({"inputs": inputs, **parameters})

    at_once = is_from_stdin(texts)
    answer_and_print(
        client, lines_of_stdin() if at_once else iter(texts), make, label_rows, as_json=as_json, at_once=at_once
    )


def label_rows(text: str, result: Any) -> Iterator[tuple[str, ...]]:
    """Score, label, and the text where a new one begins."""
    for number, label in enumerate(result):
        yield f"{label['score']:.4f}", label["label"], "" if number else " ".join(text.split())[:60]
