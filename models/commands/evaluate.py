"""``evaluate``: accuracy and speed of a prepared model on labelled rows."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from models.commands.describe import describe_measurements
from models.store import find

if TYPE_CHECKING:
    from models.engine.engine import EngineOptions
    from models.evaluation.evaluate import EvaluationReport

__all__ = ["add_evaluate"]


def add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    evaluate = commands.add_parser("evaluate", help="accuracy and speed of a prepared model on labelled rows")
    evaluate.add_argument("model", help="name or path of a prepared model")
    evaluate.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="FILE",
        help="JSON Lines with text and label; premise, hypothesis and label; or question, context and answers",
    )
    evaluate.add_argument("--template", help="zero-shot: how a label becomes a hypothesis, such as 'About {}.'")
    evaluate.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="default: %(default)s")
    evaluate.add_argument("--threads", type=_positive, default=1, help="threads that compute (default: %(default)s)")
    evaluate.add_argument("--limit", type=_positive, help="use the first rows only")
    evaluate.add_argument("--json", action="store_true", help="print the report as JSON")
    evaluate.add_argument(
        "--through-queue",
        action="store_true",
        help="ask a running worker instead of this process; --precision and --threads are then the worker's",
    )
    evaluate.add_argument(
        "--broker-url", help="with --through-queue: the broker (default: the setting CELERIAC_BROKER_URL)"
    )
    evaluate.set_defaults(run=_evaluate)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _evaluate(options: argparse.Namespace) -> int:
    from models.engine.engine import EngineOptions
    from models.evaluation.data_sets import read_data_set
    from models.evaluation.evaluate import answer_here, evaluate
    from models.evaluation.through_queue import answer_through_queue

    model = find(options.model, options.models_dir)
    model.verify()
    data = read_data_set(options.data, model.manifest.task, template=options.template, limit=options.limit)
    engine: EngineOptions | None = None
    if options.through_queue:
        broker = ["--broker-url", options.broker_url] if options.broker_url else []
        answers = answer_through_queue(model.name, data, broker)
    else:
        engine = EngineOptions(threads=options.threads, precision=options.precision)
        answers = answer_here(model, data, engine)
    report = evaluate(model, data, answers, progress=sys.stderr.isatty(), options=engine)
    if options.json:
        prepared = [measurement.model_dump() for measurement in model.manifest.measurements]
        print(json.dumps({**dataclasses.asdict(report), "prepared": prepared}, indent=2))
        return 0
    print(_describe(report))
    print(describe_measurements(model.manifest))
    return 0


def _describe(report: EvaluationReport) -> str:
    values = ", ".join(f"{metric} {value:.4f}" for metric, value in report.values.items())
    errors = f", {report.errors} errors" if report.errors else ""
    where = "through the queue" if report.precision is None else f"on {report.threads} thread(s), {report.precision}"
    return (
        f"{report.model} {report.revision} on {report.data}, {report.rows} rows: {values}{errors}, "
        f"{report.rows_per_second:.0f} rows/s {where}"
    )
