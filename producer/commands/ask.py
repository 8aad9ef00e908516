"""``ask``: the answer to a question, from a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from producer.commands.answering import answer_and_print, text_of_stdin
from producer.commands.connection import with_client
from producer.commands.parameters import check_options, given, json_option, model_option, top_k_option

if TYPE_CHECKING:
    from producer.client import Client

__all__ = ["command"]

_HELP = """Answer a question with a part of a text, given as an argument or as the whole of standard input.

Prints a table on a terminal, else a line of JSON: {"result": {"score": …, "start": …, "end": …, "answer": …},
"model": …} or {"error": …}.

\b
    python -m producer ask --question "Who designed it?" "The bridge was designed by Ingrid Halvorsen."
    python -m producer ask --question "When does it open?" --top-k 3 - < page.txt

Exit status: 0 if it was answered, 1 if it was not, 2 for a usage error, 3 if the broker is unavailable or no worker
answers in time.
"""


@click.command("ask", help=_HELP)
@click.argument("context", metavar="[CONTEXT|-]", default="-")
@click.option("--question", required=True, help="The question.")
@top_k_option("answers")
@click.option("--max-seq-len", type=int, help="Window of question and context, in tokens.  [default: 384]")
@click.option("--doc-stride", type=int, help="By how many tokens the windows overlap.  [default: 128]")
@click.option("--max-answer-len", type=int, help="Length of an answer at most, in tokens.  [default: 15]")
@click.option("--max-question-len", type=int, help="Accepted without effect, as in transformers.")
@click.option("--handle-impossible-answer", is_flag=True, help="Let the empty answer win.")
@click.option(
    "--align-to-words/--no-align-to-words", default=None, help="Extend answers to whole words.  [default: on]"
)
@model_option
@json_option
@with_client(timeout_s=10.0)
def command(client: Client, *, context: str, as_json: bool, **options: Any) -> None:
    """Answer a question."""
    from producer.contract import QuestionAnsweringRequest

    parameters = given(options)
    if options["align_to_words"] is False:
        parameters["align_to_words"] = False
    check_options(QuestionAnsweringRequest, parameters)
    text = text_of_stdin() if context == "-" else context
    answer_and_print(
        client,
        iter([text]),
        lambda text: QuestionAnsweringRequest.parse({"context": text, **parameters}),
        _rows,
        as_json=as_json,
        at_once=True,
    )


def _rows(_: str, result: Any) -> Iterator[tuple[str, ...]]:
    for span in result if isinstance(result, list) else [result]:
        yield f"{span['score']:.4f}", f"{span['start']}-{span['end']}", span["answer"]
