"""``python -m producer``: requests as JSON Lines in, their answers as JSON Lines out, in the same order.

A request is ``{"task": "text-classification", "inputs": "…"}``: the task and its parameters, and an ``"id"`` of your
own if you like. An answer is ``{"result": …, "model": …}`` or ``{"error": {"message": …}}``, with that id.

Without --broker-url the servers are those of the settings: environment, .env and celeriac.toml, as for a worker.

Exit status: 0 when every request was answered, 1 when one was not, 2 for wrong usage, 3 without a broker.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import click

from producer.contract import REQUESTS, QueueClass, Request, TaskName
from producer.contract.redis_url import server_url
from producer.errors import BrokerUnavailable, CeleriacError, ErrorCode, InvalidRequest, RequestError
from producer.sender import DEFAULT_URL, Answer, Sender

__all__ = ["main"]

Line = dict[str, Any]


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
# Bytes that are no UTF-8 become half surrogates, which the contract refuses: one such line does not stop the others.
@click.argument("file", type=click.File(encoding="utf-8", errors="surrogateescape"), default="-")
@click.option("--broker-url", help="With its password, percent-encoded, if it has one.")
@click.option("--result-backend-url", help="The broker by default.")
@click.option("--queue-class", type=click.Choice([c.value for c in QueueClass]), default="bulk", show_default=True)
@click.option("--in-flight", type=click.IntRange(1), default=32, show_default=True, help="Requests at a time.")
@click.option("--timeout-s", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True, help="For each.")
def main(  # noqa: PLR0917 - click passes them by name
    file: IO[str],
    broker_url: str | None,
    result_backend_url: str | None,
    queue_class: str,
    in_flight: int,
    timeout_s: float,
) -> None:
    """Answer every line of a file or of the standard input."""
    try:
        sender = Sender(*_servers(broker_url, result_backend_url), timeout_s=timeout_s)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    lines = _Lines(file)
    failed = 0
    try:
        with sender:
            answers = sender.map(lines.requests(), queue_class=QueueClass(queue_class), in_flight=in_flight)
            for answer in _with_progress(lines.in_order(answers), lines.total):
                failed += "error" in answer
                click.echo(_as_json(answer))
    except BrokerUnavailable as error:
        click.echo(f"error: {error}; is the server of --broker-url or CELERIAC_BROKER_URL up?", err=True)
        sys.exit(3)
    if failed:
        click.echo(f"{failed} requests were not answered", err=True)
        sys.exit(1)


def _servers(broker_url: str | None, result_backend_url: str | None) -> tuple[str, str | None]:
    """Broker and result backend, None for the broker: of the command line, else of the settings.

    Raises:
        ValueError: a setting is wrong.
    """
    if broker_url and result_backend_url:
        return broker_url, result_backend_url
    broker, results = _servers_of_settings() if _has_settings() else _servers_of_environment()
    return broker_url or broker, result_backend_url or results


def _has_settings() -> bool:
    """Whether ``config`` is ours: a service may have a package of that name, which would be found first."""
    spec = find_spec("config")
    if spec is None or spec.origin is None:
        return False
    return Path(spec.origin).resolve().parents[1] == Path(__file__).resolve().parents[1]


def _servers_of_settings() -> tuple[str, str | None]:
    # This file alone is run with the whole distribution around it; the package imports no sibling.
    from config import load_settings

    settings = load_settings()
    return settings.broker.url, settings.result_backend.url if settings.result_backend_url else None


def _servers_of_environment() -> tuple[str, str | None]:
    def server(name: str, default: str = "") -> str:
        url = os.environ.get(f"{name}_URL") or default
        return server_url(f"{name}_URL", url, os.environ.get(f"{name}_PASSWORD") or None).url if url else ""

    return server("CELERIAC_BROKER", DEFAULT_URL), server("CELERIAC_RESULT_BACKEND") or None


def _with_progress(answers: Iterator[Line], total: int | None) -> Iterator[Line]:
    """The same answers, with a bar where somebody watches, the end is known and the answers go elsewhere."""
    if total is None or sys.stdout.isatty() or not sys.stderr.isatty():
        yield from answers
        return
    with click.progressbar(answers, length=total, file=sys.stderr) as bar:
        yield from bar


class _Lines:
    """The lines of a file, as requests to send and as places for their answers; one that is no request is skipped."""

    def __init__(self, file: IO[str]) -> None:
        # A file can be counted first; what comes through a pipe is sent as it comes.
        filled = (line for line in file if line.strip())
        self._source: Iterator[str] | list[str] = list(filled) if file.seekable() else filled
        #: How many lines there are, where that can be known beforehand.
        self.total = len(self._source) if isinstance(self._source, list) else None
        self._waiting: deque[tuple[Any, RequestError | None]] = deque()

    def requests(self) -> Iterator[Request]:
        """Those lines that are requests."""
        for line in self._source:
            request_id, request = _parse(line)
            self._waiting.append((request_id, request if isinstance(request, RequestError) else None))
            if isinstance(request, Request):
                yield request

    def in_order(self, answers: Iterator[Answer | CeleriacError]) -> Iterator[Line]:
        """One line of output for each of the input, in its order."""
        for answer in answers:
            yield from self._refused()
            yield _output(self._waiting.popleft()[0], answer)
        yield from self._refused()

    def _refused(self) -> Iterator[Line]:
        while self._waiting and self._waiting[0][1] is not None:
            request_id, error = self._waiting.popleft()
            yield _output(request_id, error)


def _parse(line: str) -> tuple[Any, Request | RequestError]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return None, InvalidRequest.of(ErrorCode.UNREADABLE_MESSAGE, f"the line is not JSON: {error}")
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


def _output(request_id: Any, answer: Answer | CeleriacError | None) -> Line:
    output: Line = {} if request_id is None else {"id": request_id}
    if isinstance(answer, Answer):
        return {**output, "result": answer.result, "model": answer.model}
    if isinstance(answer, RequestError):
        return {**output, "error": {"message": answer.message, **answer.details}}
    return {**output, "error": {"message": f"{type(answer).__name__}: {answer}"}}


def _as_json(line: Line) -> bytes:
    """UTF-8 whatever the locale says; half a surrogate pair, which UTF-8 cannot hold, as JSON's escape for it."""
    return json.dumps(line, ensure_ascii=False).encode(errors="backslashreplace")


if __name__ == "__main__":
    main()
