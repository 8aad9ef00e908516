"""``prepare``: from a hub id or a checkpoint to a model that a worker serves."""

from __future__ import annotations

import argparse
import math
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import InvalidNameError
from models.pipelines import load
from models.pipelines.entailment import InferenceLabels
from models.store.describe import describe_measurements, describe_trials
from models.store.names import check_name
from producer.contract import TaskName

__all__ = ["add_prepare"]

_EXAMPLES = """examples:
  python -m models prepare typeform/distilbert-base-uncased-mnli --as topics
  python -m models prepare path/to/checkpoint --evaluate labelled.jsonl --max-drop 1

HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE have their usual meaning. docs/models.md lists the formats.
"""


def add_prepare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "prepare",
        help="make an INT8 model from a hub id or a checkpoint, and measure it",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("origin", metavar="MODEL", help="hub id (OWNER/NAME), or directory of a checkpoint")
    parser.add_argument(
        "--as", dest="name", type=_name, help="name that requests will use (default: the last part of MODEL)"
    )
    parser.add_argument("--revision", help="branch, tag or commit of the hub's repository (default: its main branch)")
    parser.add_argument(
        "--task",
        type=TaskName,
        choices=list(TaskName),
        metavar="TASK",
        help="the task of the model, if its configuration does not tell: %(choices)s",
    )
    parser.add_argument(
        "--entailment",
        metavar="LABEL",
        default="",
        help="the label of an NLI model that says that the text entails the hypothesis, if its name does not say it",
    )
    parser.add_argument(
        "--contradiction",
        metavar="LABEL",
        default="",
        help="the label that says that it contradicts it (default: by its name, else the one opposite to entailment)",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="JSON Lines with the columns of the task's requests: text; premise and hypothesis; question and context "
        "(default: built-in English rows). 300 of them are used",
    )
    parser.add_argument(
        "--held-back",
        type=Path,
        metavar="FILE",
        help="more such rows, on which the distance between INT8 and FP32 is measured, up to 500; a model is surer of "
        "rows that it was trained on, so better not those (default: the rows of --calibration that are not used to "
        "calibrate, half of them or more)",
    )
    parser.add_argument(
        "--evaluate",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="labelled rows to report the accuracy of FP32 and INT8 on, as for evaluate; can be repeated",
    )
    parser.add_argument(
        "--max-distance",
        type=_distance,
        metavar="DISTANCE",
        help="how far INT8's answers may be from FP32's, on the rows that are held back: the mean "
        "over the rows of the largest change of a probability (default: 0.008); for question answering the share of "
        "questions that get another span (default: 0.03). The fastest recipe within it is used",
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        default=0.5,
        metavar="POINTS",
        help="most accuracy that INT8 may lose on the files of --evaluate; if it loses more, no model is made "
        "(default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, help="directory to create (default: NAME in the models directory)")
    parser.add_argument("--source", help="the source that the card names (default: MODEL)")
    parser.set_defaults(run=_run)


def _distance(text: str) -> float:
    try:
        distance = float(text)
    except ValueError:
        distance = math.nan
    if not 0 < distance <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a distance: it must be over 0, and 1 at most")
    return distance


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
    with _exit_on_signals():
        model = prepare(
            PreparationOptions(
                origin=options.origin,
                name=name,
                target=options.output or options.models_dir / name,
                batching=options.batching,
                max_points_lost=options.max_drop,
                max_distance=options.max_distance,
                revision=options.revision,
                task=options.task,
                calibration=options.calibration,
                held_back=options.held_back,
                evaluations=tuple(options.evaluate),
                labels=InferenceLabels(options.entailment, options.contradiction),
                source=options.source,
            )
        )
    print(f"{model.name} {model.manifest.revision} is ready in {model.directory}")
    if options.engine.arithmetic is None:
        # Workers on this type of CPU then start without measuring.
        print(f"the fastest arithmetic on this CPU: {load(model, options.engine).engine.arithmetic}")
    print(describe_trials(model.manifest))
    print(describe_measurements(model.manifest))
    return 0


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Exit on Ctrl-C and SIGTERM as on an error: temporary files are deleted, and no traceback is printed."""
    before = {number: signal.signal(number, _exit) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: object) -> None:
    sys.exit(128 + number)
