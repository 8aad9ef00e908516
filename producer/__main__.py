"""``python -m producer``: reads requests as JSON Lines and writes their answers as JSON Lines, in the same order.

A request is ``{"task": "text-classification", "inputs": "…"}``: the task, its parameters, and optionally an ``"id"`` of
your own. For example, ``"truncation": "windows"`` has the model read all of a long text. An answer is
``{"result": …, "model": …}`` or ``{"error": {"message": …}}``, with the request's id.

Without --broker-url, the servers come from the settings, as for a worker: environment, .env and celeriac.toml.

Exit status: 0 if every request was answered, 1 if one was not, 2 for a usage error, 3 if the broker is unavailable.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import click

from producer.contract import REQUESTS, QueueClass, Request, TaskName
from producer.contract.redis_url import server_url
from producer.errors import BrokerUnavailable, CeleriacError, ErrorCode, InvalidRequest, RequestError
from producer.options import DEFAULT_CHUNK_S, DEFAULT_URL
from producer.outcomes import Answer
from producer.sender import Sender

__all__ = ["main"]

JsonObject = dict[str, Any]


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
# Bytes that are not UTF-8 become lone surrogates, which the contract refuses: such a line does not stop the others.
@click.argument("file", type=click.File(encoding="utf-8", errors="surrogateescape"), default="-")
@click.option("--broker-url", help="URL of the broker; a password in it must be percent-encoded.")
@click.option("--result-backend-url", help="URL of the result backend; the broker by default.")
@click.option(
    "--queue-class",
    type=click.Choice([c.value for c in QueueClass]),
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
@click.option(
    "--timeout-s",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="Timeout of each request, in seconds.",
)
def main(
    *,
    file: IO[str],
    broker_url: str | None,
    result_backend_url: str | None,
    queue_class: str,
    in_flight: int,
    timeout_s: float,
) -> None:
    """Answer every line of a file or of standard input."""
    try:
        sender = Sender(*_servers(broker_url, result_backend_url), timeout_s=timeout_s)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    lines = _RequestLines(file)
    failed = 0
    try:
        with sender:
            answers = sender.map(
                lines.read_requests(),
                queue_class=QueueClass(queue_class),
                in_flight=in_flight,
                # A line of a pipe must not wait for the next one.
                chunk_s=None if lines.total is None else DEFAULT_CHUNK_S,
            )
            for output in _with_progress(lines.merge(answers), lines.total):
                failed += "error" in output
                click.echo(_to_json(output))
    except BrokerUnavailable as error:
        click.echo(f"error: {error}; check that the server of --broker-url or CELERIAC_BROKER_URL is running", err=True)
        sys.exit(3)
    if failed:
        click.echo(f"{failed} requests were not answered", err=True)
        sys.exit(1)


def _servers(broker_url: str | None, result_backend_url: str | None) -> tuple[str, str | None]:
    """URLs of the broker and the result backend; None if the results are in the broker.

    The command line takes precedence over the settings.

    Raises:
        ValueError: a setting is wrong.
    """
    if broker_url and result_backend_url:
        return broker_url, result_backend_url
    broker, backend = _servers_from_settings() if _has_settings() else _servers_from_environment()
    return broker_url or broker, result_backend_url or backend


def _has_settings() -> bool:
    """Whether ``config`` is our package: a service may have one of that name, which would be found first."""
    spec = find_spec("config")
    if spec is None or spec.origin is None:
        return False
    if Path(spec.origin).resolve().parents[1] != Path(__file__).resolve().parents[1]:
        return False
    # A distribution of somebody else may have put its `config` into the same site-packages.
    return hasattr(import_module("config"), "load_settings")


def _servers_from_settings() -> tuple[str, str | None]:
    # Only this command, which is run from a full installation, may import a sibling package.
    from config import load_settings

    settings = load_settings()
    return settings.broker.url, settings.result_backend.url if settings.result_backend_url else None


def _servers_from_environment() -> tuple[str, str | None]:
    def server(name: str, default: str = "") -> str:
        url = os.environ.get(f"{name}_URL") or default
        return server_url(f"{name}_URL", url, os.environ.get(f"{name}_PASSWORD") or None).url if url else ""

    return server("CELERIAC_BROKER", DEFAULT_URL), server("CELERIAC_RESULT_BACKEND") or None


def _with_progress(outputs: Iterator[JsonObject], total: int | None) -> Iterator[JsonObject]:
    """The same outputs, with a progress bar if the total is known, stderr is a terminal and stdout is not."""
    if total is None or sys.stdout.isatty() or not sys.stderr.isatty():
        yield from outputs
        return
    with click.progressbar(outputs, length=total, file=sys.stderr) as bar:
        yield from bar


class _RequestLines:
    """The lines of the input. Invalid lines are not sent, and their errors are merged into the answers.

    Attributes:
        total: how many lines there are, blank ones not counted; None if the input cannot be counted in advance.
    """

    def __init__(self, file: IO[str]) -> None:
        # A file can be counted first; lines from a pipe are sent as they arrive.
        lines = (line for line in file if line.strip())
        self._lines: Iterator[str] | list[str] = list(lines) if file.seekable() else lines
        self.total = len(self._lines) if isinstance(self._lines, list) else None
        #: The id of each line that has no output yet, and its error if it is invalid.
        self._pending: deque[tuple[Any, RequestError | None]] = deque()

    def read_requests(self) -> Iterator[Request]:
        """Read the lines and yield the valid requests."""
        for line in self._lines:
            request_id, request = _parse(line)
            self._pending.append((request_id, request if isinstance(request, RequestError) else None))
            if isinstance(request, Request):
                yield request

    def merge(self, answers: Iterator[Answer | CeleriacError]) -> Iterator[JsonObject]:
        """Yield one output for each line, in order; ``answers`` are those to :meth:`read_requests`."""
        for answer in answers:
            yield from self._take_invalid()
            yield _output(self._pending.popleft()[0], answer)
        yield from self._take_invalid()

    def _take_invalid(self) -> Iterator[JsonObject]:
        while self._pending and (error := self._pending[0][1]) is not None:
            yield _output(self._pending.popleft()[0], error)


def _parse(line: str) -> tuple[Any, Request | RequestError]:
    """The id of a line and its request, or what is wrong with it."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return None, InvalidRequest.of(ErrorCode.UNREADABLE_MESSAGE, f"the line is not valid JSON: {error}")
    if not isinstance(values, dict):
        return None, InvalidRequest.of(ErrorCode.WRONG_TYPE, "the line is not a JSON object")
    request_id, task = values.pop("id", None), values.pop("task", None)
    try:
        schema = REQUESTS[TaskName(task)]
    except ValueError:
        known = ", ".join(name.value for name in TaskName)
        return request_id, InvalidRequest.of(ErrorCode.UNKNOWN_TASK, f"task: must be one of {known}", field="task")
    try:
        return request_id, schema.parse(values)
    except InvalidRequest as error:
        return request_id, error


def _output(request_id: object, answer: Answer | CeleriacError) -> JsonObject:
    output: JsonObject = {} if request_id is None else {"id": request_id}
    if isinstance(answer, Answer):
        return {**output, "result": answer.result, "model": answer.model}
    if isinstance(answer, RequestError):
        return {**output, "error": {"message": answer.message, **answer.details}}
    return {**output, "error": {"message": f"{type(answer).__name__}: {answer}"}}


def _to_json(output: JsonObject) -> bytes:
    """As UTF-8, whatever the locale. Lone surrogates, which UTF-8 cannot encode, become JSON escapes."""
    return json.dumps(output, ensure_ascii=False).encode(errors="backslashreplace")


if __name__ == "__main__":
    main()
