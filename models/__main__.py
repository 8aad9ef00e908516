"""``python -m models``: prepare and evaluate models."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from models.errors import ModelError
from models.manifest import Manifest
from models.store import DEFAULT_MODELS_DIR, find


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

    prepare = commands.add_parser("prepare", help="checkpoint in, INT8 model with manifest and card out")
    prepare.add_argument("checkpoint", type=Path, help="directory of the checkpoint, as transformers saves it")
    prepare.add_argument("--as", dest="name", help="name that requests will use (default: the directory's)")
    prepare.add_argument("--calibration", type=Path, required=True, help="JSON Lines with a column text")
    prepare.add_argument("--evaluate", type=Path, help="JSON Lines with text and label, to measure FP32 and INT8 on")
    prepare.add_argument("--output", type=Path, help="directory to make (default: NAME in the models directory)")
    prepare.add_argument("--source", help="what the card says of the source (default: the directory's name)")
    prepare.set_defaults(run=_prepare)

    evaluate = commands.add_parser("evaluate", help="accuracy and speed of a prepared model on labelled rows")
    evaluate.add_argument("model", help="name or path of a prepared model")
    evaluate.add_argument("--data", type=Path, required=True, help="JSON Lines with text and label")
    evaluate.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="default: %(default)s")
    evaluate.add_argument("--threads", type=_positive, default=1, help="threads that compute (default: %(default)s)")
    evaluate.add_argument("--limit", type=_positive, help="use the first rows only")
    evaluate.add_argument("--json", action="store_true", help="print the report as JSON")
    evaluate.set_defaults(run=_evaluate)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _prepare(options: argparse.Namespace) -> int:
    from models.prepare.run import PreparationOptions, prepare

    name = options.name or options.checkpoint.resolve().name
    model = prepare(
        PreparationOptions(
            checkpoint=options.checkpoint,
            name=name,
            target=options.output or options.models_dir / name,
            calibration=options.calibration,
            evaluation=options.evaluate,
            source=options.source or options.checkpoint.resolve().name,
        )
    )
    print(f"{model.name} {model.manifest.revision} is ready in {model.directory}")
    print(_compare(model.manifest))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from models.engine import EngineOptions
    from models.evaluate import evaluate

    model = find(options.model, options.models_dir)
    model.verify()
    engine = EngineOptions(threads=options.threads, precision=options.precision)
    report = evaluate(model, options.data, engine, progress=sys.stderr.isatty(), limit=options.limit)
    if options.json:
        print(json.dumps({**dataclasses.asdict(report), "prepared": _accuracy(model.manifest)}, indent=2))
        return 0
    print(f"{report.model} {report.revision} on {report.data}: {report.metric} {report.value:.4f}", end="")
    print(f" ({report.correct} of {report.rows}), {report.rows_per_second:.0f} rows/s", end="")
    print(f" on {report.threads} thread(s) with {report.precision}")
    print(_compare(model.manifest))
    return 0


def _accuracy(manifest: Manifest) -> dict[str, object] | None:
    return manifest.accuracy.model_dump() if manifest.accuracy else None


def _compare(manifest: Manifest) -> str:
    measured = manifest.accuracy
    if measured is None:
        return "accuracy was not measured at preparation (--evaluate FILE does)"
    return (
        f"at preparation, on {measured.data}: FP32 {measured.fp32:.4f}, INT8 {measured.int8:.4f}, "
        f"{(measured.fp32 - measured.int8) * 100:.2f} points lost"
    )


if __name__ == "__main__":
    sys.exit(main())
