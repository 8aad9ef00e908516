"""``python -m models prepare``."""

from __future__ import annotations

import argparse
import re
import signal
import sys
from pathlib import Path

from models.errors import PreparationError
from models.manifest import Manifest
from producer.contract import TaskName

__all__ = ["add_arguments", "describe_measurements"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,199}")
_EXAMPLES = """examples:
  python -m models prepare typeform/distilbert-base-uncased-mnli --as topics
  python -m models prepare path/to/checkpoint --evaluate labelled.jsonl --max-drop 1

HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE mean what they mean everywhere. docs/models.md has the formats.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser the arguments of this command, and the function that runs it."""
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("origin", metavar="MODEL", help="hub id (OWNER/NAME), or directory of a checkpoint")
    parser.add_argument(
        "--as", dest="name", type=_name, help="name that requests will use (default: MODEL's last part)"
    )
    parser.add_argument("--revision", help="branch, tag or commit of the hub's repository (default: its main branch)")
    parser.add_argument(
        "--task",
        type=TaskName,
        choices=list(TaskName),
        metavar="TASK",
        help="what it is for, if it does not say: %(choices)s",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="JSON Lines with what requests have: text; premise and hypothesis; question and context "
        "(default: English rows that are built in)",
    )
    parser.add_argument(
        "--evaluate",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="labelled rows to measure FP32 and INT8 on, as for evaluate; may be given several times",
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        default=0.5,
        metavar="POINTS",
        help="how much accuracy INT8 may lose on them before another recipe is tried (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, help="directory to make (default: NAME in the models directory)")
    parser.add_argument("--source", help="what the card says of the source (default: MODEL)")
    parser.set_defaults(run=_run)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            "letters, digits, '.', '_' and '-' only, at most 200, the first a letter or digit"
        )
    return text


def _run(options: argparse.Namespace) -> int:
    from models.prepare.run import PreparationOptions, prepare

    signal.signal(signal.SIGTERM, _end)
    name = options.name or Path(options.origin).expanduser().resolve().name
    if not _NAME.fullmatch(name):
        raise PreparationError(f"{name!r} is no name for a model: give it one with --as NAME")
    model = prepare(
        PreparationOptions(
            origin=options.origin,
            name=name,
            target=options.output or options.models_dir / name,
            revision=options.revision,
            task=options.task,
            calibration=options.calibration,
            evaluations=tuple(options.evaluate),
            max_drop_points=options.max_drop,
            source=options.source,
        )
    )
    print(f"{model.name} {model.manifest.revision} is ready in {model.directory}")
    print(describe_measurements(model.manifest))
    return 0


def _end(number: int, _frame: object) -> None:
    """End as an error does, so that what is half-made goes."""
    sys.exit(128 + number)


def describe_measurements(manifest: Manifest) -> str:
    """One line for each set of rows that was measured at preparation."""
    lines = []
    for measured in manifest.measurements:
        before = "not published" if measured.fp32 is None else f"{measured.fp32:.4f}"
        lost = "" if measured.fp32 is None else f", {(measured.fp32 - measured.int8) * 100:.2f} points lost"
        lines.append(f"at preparation, on {measured.data}: FP32 {before}, INT8 {measured.int8:.4f}{lost}")
    return "\n".join(lines) or "accuracy was not measured at preparation (--evaluate FILE does)"
