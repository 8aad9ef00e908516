"""``map``: answers every record of an input of any length."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.commands.connection import with_client
from producer.commands.failures import ExitStatus, Failure, reported

if TYPE_CHECKING:
    from producer.client import Client
    from producer.commands.input_formats import InputFormat
    from producer.commands.request_maker import RequestMaker

__all__ = ["command"]

_HELP = """Answer every record of a file or of standard input, in order, as JSON Lines.

An answer is {"result": …, "model": …} or {"error": {"message": …}}, with the record's id if it has one. The formats:

\b
jsonl         {"task": "text-classification", "inputs": "…"}: the task, its
              parameters, and optionally an "id" of your own
lines         each line is a text (.txt)
csv           a column --column, or columns called as the parameters (.csv)
parquet       the same; needs pip install 'celeriac[parquet]' (.parquet)
openai-batch  {"custom_id": "1", "method": "POST", "body": {"inputs": "…"},
              "url": "/v1/text-classification"}; writes an output file and an
              error file as OpenAI's batches have them

--task and --param hold for the records that do not state them. A run that stopped goes on with --resume: the same
command, the same input, the same output. No line is answered twice; docs/command-line.md says what is kept for that.

\b
    python -m producer map requests.jsonl > answers.jsonl
    python -m producer map --task text-classification --column review reviews.csv --output answers.jsonl
    python -m producer map --task zero-shot-classification --param candidate_labels=urgent,later tickets.txt
    python -m producer map --format openai-batch batch.jsonl --output out.jsonl --errors errors.jsonl
    python -m producer map --resume requests.jsonl --output answers.jsonl

Exit status: 0 if every request was answered, 1 if one was not, 2 for a usage error, 3 if the broker is unavailable, or
with --output if the answers do not come; 130 after Ctrl-C. After 3, 130 or a kill, --resume goes on.
"""


@click.command("map", help=_HELP)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, readable=True), default="-")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the answers go; it must not be there."
)
@click.option(
    "--errors",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The error file of openai-batch.  [default: the output's name with .errors]",
)
@click.option("--resume", is_flag=True, help="Go on with --output if it is there.")
@click.option(
    "--format",
    "stated_format",
    type=click.Choice(["jsonl", "lines", "csv", "parquet", "openai-batch"]),
    help="Of the input.  [default: by the file's ending, else jsonl]",
)
@click.option(
    "--task",
    type=click.Choice(["text-classification", "zero-shot-classification", "question-answering"]),
    help="The task of records that name none.",
)
@click.option("--column", help="The column of a table that has the text (the context, for question-answering).")
@click.option(
    "--param", "stated", multiple=True, metavar="NAME=VALUE", help="A parameter of the task, for all records."
)
@click.option(
    "--queue-class",
    type=click.Choice(["interactive", "bulk"]),
    default="bulk",
    show_default=True,
    help="Interactive requests are served before bulk requests.",
)
@click.option(
    "--in-flight",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Maximum number of unanswered messages; lines of a file share messages.",
)
@with_client(timeout_s=60.0)
def command(client: Client, *, file: str, output: Path | None, resume: bool, queue_class: str, **options: Any) -> None:
    """Answer every record."""
    from producer.commands.input_formats import InputFormat, format_of
    from producer.commands.map_run import MapRun
    from producer.contract import QueueClass

    input_format = format_of(file, options["stated_format"])
    is_batch = input_format is InputFormat.OPENAI_BATCH
    _check_usage(file, output, input_format, options, resume=resume)
    errors = options["errors"]
    if is_batch and errors is None and output is not None:
        errors = output.with_name(f"{output.stem}.errors{output.suffix}")
    run = MapRun(
        path=file,
        input_format=input_format,
        maker=_maker(file, input_format, options),
        output=output,
        errors=errors,
        queue_class=QueueClass(queue_class),
        in_flight=options["in_flight"],
        is_piped=_is_pipe(file),
    )
    can_resume = output is not None and file != "-"
    with reported(advice="What is answered is kept; go on with --resume" if can_resume else ""):
        totals = run.start(client, resume=resume)
    if totals.failed:
        click.echo(f"{totals.failed} requests were not answered", err=True)
        sys.exit(ExitStatus.NOT_ALL_ANSWERED)


def _check_usage(
    file: str, output: Path | None, input_format: InputFormat, options: dict[str, Any], *, resume: bool
) -> None:
    from producer.commands.input_formats import InputFormat

    is_batch = input_format is InputFormat.OPENAI_BATCH
    is_table = input_format in {InputFormat.CSV, InputFormat.PARQUET}
    if resume and (output is None or file == "-"):
        raise click.UsageError("--resume needs a file and an --output; what comes from a pipe cannot be read again")
    if is_batch and output is None:
        raise click.UsageError("--format openai-batch needs an --output")
    if options["errors"] is not None and not is_batch:
        raise click.UsageError("--errors is for --format openai-batch; else errors stand among the answers")
    if options["column"] is not None and not is_table:
        raise click.UsageError("--column is for --format csv and parquet")
    if input_format is InputFormat.LINES and options["task"] is None:
        raise click.UsageError("--format lines needs a --task")


def _maker(file: str, input_format: InputFormat, options: dict[str, Any]) -> RequestMaker:
    from producer.commands.input_formats import column_names
    from producer.commands.request_maker import RequestMaker

    task, column = options["task"], options["column"]
    maker = RequestMaker(task, column, _parameters(task, options["stated"]))
    names = column_names(file, input_format)
    if names is not None:
        if task is None and "task" not in names:
            raise click.UsageError(f"{file} has no column task: say which with --task")
        if column is not None and column not in names:
            raise click.BadParameter(f"{file} has the columns {', '.join(names)}", param_hint="--column")
    return maker


def _parameters(task: str | None, stated: tuple[str, ...]) -> dict[str, Any]:
    """The parameters that ``--param`` names, checked by themselves if the task is known."""
    from producer.commands.request_maker import value_of
    from producer.contract import REQUESTS, TaskName
    from producer.errors import InvalidRequest

    parameters = {}
    for text in stated:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--param")
        parameters[name] = value_of(name, value)
    if task is None:
        return parameters
    schema = REQUESTS[TaskName(task)]
    try:
        schema.parse(
            {**{name: "a" for name, about in schema.model_fields.items() if about.is_required()}, **parameters}
        )
    except InvalidRequest as error:
        if error.field in parameters:
            raise click.BadParameter(error.message, param_hint="--param") from None
    return parameters


def _is_pipe(file: str) -> bool:
    if file == "-":
        return not sys.stdin.seekable()
    try:
        return not stat.S_ISREG(Path(file).stat().st_mode)
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror}", ExitStatus.WRONG_USAGE) from None
