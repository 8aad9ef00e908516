"""The main job from end to end: server, worker, a few thousand texts, and what came of them."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from config import SettingsError, load_settings
from examples.demo.load import LoadReport, run_bulk, run_callers
from examples.demo.report import print_labels, print_loads, print_processes, print_spans, print_topics
from examples.demo.texts import Example, generate, read_examples, read_questions
from examples.local_stack import LocalServer, LocalWorker, WorkerStartError
from producer import CeleriacError, Client, TextClassificationRequest

_BROKER_VARIABLE = "CELERIAC_BROKER_URL"
_TEXTS_PER_MESSAGE = 64
_TOPICS = ["delivery", "payment", "software", "praise"]


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; the exit status is 0 when every text was answered."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo",
        description=f"{__doc__} Uses the Redis server of {_BROKER_VARIABLE}, or an embedded one.",
    )
    parser.add_argument("--single", type=int, default=300, help="texts sent one a message (default: %(default)s)")
    parser.add_argument("--bulk", type=int, default=2048, help="texts sent in bulk messages (default: %(default)s)")
    parser.add_argument("--callers", type=int, default=8, help="callers at a time (default: %(default)s)")
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        with contextlib.ExitStack() as stack:
            return _run(console, stack, options)
    except (CeleriacError, SettingsError, WorkerStartError) as error:
        console.print(f"[red]the demo failed:[/] {error}", markup=True)
        return 1


def _run(console: Console, stack: contextlib.ExitStack, options: argparse.Namespace) -> int:
    settings = load_settings()
    url, environment = settings.broker.url, dict[str, str]()
    if settings.model_fields_set & {"broker_url", "broker_password"}:
        console.print(f"server: the one of {_BROKER_VARIABLE}")
    else:
        url = stack.enter_context(LocalServer()).url
        console.print(f"server: an embedded Valkey at {url}")
        # Leases of its own only beside its own server: on a real one, other workers may serve on this machine.
        leases = stack.enter_context(tempfile.TemporaryDirectory(prefix="celeriac-cores-"))
        environment = {_BROKER_VARIABLE: url, "CELERIAC_CORES_LEASE_DIR": leases}
    started_s = time.monotonic()
    worker = stack.enter_context(LocalWorker(environment=environment))
    with console.status("starting the worker: celery -A worker worker"):
        worker.wait_until_ready()
    console.print(
        f"worker: celery -A worker worker, {len(worker.processes)} processes ready "
        f"{time.monotonic() - started_s:.1f} s after its start"
    )
    client = stack.enter_context(
        Client(url, settings.result_backend.url if settings.result_backend_url else None, timeout_s=60)
    )
    return _serve(console, client, worker, options)


def _serve(console: Console, client: Client, worker: LocalWorker, options: argparse.Namespace) -> int:
    examples = read_examples()
    _show_tasks(console, client, examples)
    loads: dict[str, LoadReport] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        if options.single:
            bar = progress.add_task("one text a message", total=options.single)
            loads[f"one text a message, {options.callers} callers"] = run_callers(
                client,
                generate(examples, options.single),
                callers=options.callers,
                advance=lambda n: progress.advance(bar, n),
            )
        if options.bulk:
            bulk_bar = progress.add_task("bulk messages", total=options.bulk)
            loads[f"bulk, {_TEXTS_PER_MESSAGE} texts a message"] = run_bulk(
                client,
                generate(examples, options.bulk),
                per_message=_TEXTS_PER_MESSAGE,
                advance=lambda n: progress.advance(bulk_bar, n),
            )
    print_processes(console, worker.pid, worker.processes)
    print_loads(console, loads)
    failures = [failure for load in loads.values() for failure in load.failures]
    for failure in failures[:5]:
        console.print(f"[red]failed:[/] {failure}")
    return 1 if failures else 0


def _show_tasks(console: Console, client: Client, examples: list[Example]) -> None:
    ids = [client.submit(TextClassificationRequest.parse({"inputs": example["text"]})) for example in examples]
    print_labels(console, examples, [client.wait(request_id).result for request_id in ids])
    mails = [example["text"] for example in examples if example["kind"] == "support mail"]
    print_topics(console, client.classify_zero_shot(mails, _TOPICS, hypothesis_template="This mail is about {}."))
    questions = read_questions()
    answers = client.answer([q["question"] for q in questions], [q["context"] for q in questions])
    print_spans(console, questions, answers)


if __name__ == "__main__":
    sys.exit(main())
