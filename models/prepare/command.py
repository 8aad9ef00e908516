"""``python -m models prepare``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.commands.describe import describe_measurements
from models.errors import InvalidNameError
from models.store.names import check_name
from producer.contract import TaskName

__all__ = ["add_arguments"]

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
    try:
        check_name(text)
    except InvalidNameError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _run(options: argparse.Namespace) -> int:
    from models.prepare.workflow import PreparationOptions, prepare

    name = options.name or Path(options.origin).expanduser().resolve().name
    try:
        check_name(name)
    except InvalidNameError as error:
        raise InvalidNameError(f"{error}: choose one with --as NAME") from None
    with _ended_by_signals():
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


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM end as an error does, so that what is half-made goes, and without a traceback."""
    before = {number: signal.signal(number, _end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)
