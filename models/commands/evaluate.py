"""``evaluate``: accuracy and speed of a prepared model on labelled rows."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from models.engine.arithmetic import Arithmetic, likely_fastest
from models.progress import is_shown
from models.store import find
from models.store.describe import describe_measurements

if TYPE_CHECKING:
    from models.engine.engine import EngineOptions
    from models.evaluation.evaluate import EvaluationReport

__all__ = ["add_evaluate"]


def add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("evaluate", help="accuracy and speed of a prepared model on labelled rows")
    parser.add_argument("model", help="name or path of a prepared model")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="FILE",
        help="JSON Lines with text and label; premise, hypothesis and label; or question, context and answers",
    )
    parser.add_argument("--template", help="zero-shot: the hypothesis template, such as 'About {}.'")
    parser.add_argument(
        "--precision",
        choices=("f32", "bf16"),
        default="f32",
        help="arithmetic of the operations that are not quantized (default: %(default)s)",
    )
    parser.add_argument(
        "--arithmetic",
        type=Arithmetic,
        choices=list(Arithmetic),
        help="arithmetic of a quantized model's matrix products (default: the setting CELERIAC_ENGINE_ARITHMETIC; for "
        "auto, int8 if this CPU has instructions for it, otherwise f32)",
    )
    parser.add_argument("--threads", type=_positive, default=1, help="number of compute threads (default: %(default)s)")
    parser.add_argument("--limit", type=_positive, help="use only this many rows")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--through-queue",
        action="store_true",
        help="ask a running worker instead of computing in this process; --arithmetic, --precision and --threads do "
        "not apply",
    )
    parser.add_argument(
        "--broker-url", help="with --through-queue: the broker (default: the setting CELERIAC_BROKER_URL)"
    )
    parser.set_defaults(run=_evaluate)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _evaluate(options: argparse.Namespace) -> int:
    from models.engine.engine import EngineOptions
    from models.evaluation.data_sets import read_data_set
    from models.evaluation.evaluate import answer_in_process, evaluate
    from models.evaluation.through_queue import answer_through_queue

    model = find(options.model, options.models_dir)
    model.verify()
    data = read_data_set(options.data, model.manifest.task, template=options.template, limit=options.limit)
    engine_options: EngineOptions | None = None
    if options.through_queue:
        broker = ["--broker-url", options.broker_url] if options.broker_url else []
        results = answer_through_queue(model.name, data, broker)
    else:
        engine_options = EngineOptions(
            threads=options.threads,
            precision=options.precision,
            batching=options.batching,
            arithmetic=options.arithmetic
            or options.engine.arithmetic
            or likely_fastest([Arithmetic.F32, Arithmetic.INT8]),
        )
        results = answer_in_process(model, data, engine_options)
    report = evaluate(model, data, results, progress=is_shown(), options=engine_options)
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
    where = "through the queue"
    if report.through == "process":
        where = f"on {report.threads} thread(s), {report.arithmetic}, the rest {report.precision}"
    return (
        f"{report.model} {report.revision} on {report.data}, {report.rows} rows: {values}{errors}, "
        f"{report.rows_per_second:.0f} rows/s {where}"
    )
