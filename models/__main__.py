"""``python -m models``: prepare and evaluate models."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import ModelError
from models.prepare.command import add_arguments as add_prepare_arguments
from models.prepare.command import describe_measurements
from models.store import DEFAULT_MODELS_DIR, find

if TYPE_CHECKING:
    from models.engine import EngineOptions
    from models.evaluation.run import EvaluationReport


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 for a model or data that is wrong, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    parser.add_argument(
        "--models-dir",
        type=Path,
        default=Path(os.environ.get("CELERIAC_MODEL_DIR") or DEFAULT_MODELS_DIR).expanduser(),
        help="where prepared models are kept (default: CELERIAC_MODEL_DIR or %(default)s)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    add_prepare_arguments(
        commands.add_parser("prepare", help="from a hub id or a checkpoint to an INT8 model, measured")
    )
    _add_evaluate(commands.add_parser("evaluate", help="accuracy and speed of a prepared model on labelled rows"))
    return parser


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
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
    evaluate.add_argument("--broker-url", help="with --through-queue: the broker (default: CELERIAC_BROKER_URL)")
    evaluate.set_defaults(run=_evaluate)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _evaluate(options: argparse.Namespace) -> int:
    from models.engine import EngineOptions
    from models.evaluation.data_sets import read_data_set
    from models.evaluation.run import answer_here, evaluate
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


if __name__ == "__main__":
    sys.exit(main())
