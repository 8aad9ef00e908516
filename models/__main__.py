"""``python -m models``: prepare, evaluate, list, show, verify and remove models."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from models.commands.describe import describe_measurements
from models.commands.evaluate import add_evaluate
from models.commands.listing import add_list
from models.commands.remove import add_remove
from models.commands.show import add_show
from models.commands.verify import add_verify
from models.errors import ModelError
from models.names import check_name
from models.store import DEFAULT_MODELS_DIR


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
    prepare.add_argument(
        "--calibration",
        type=Path,
        required=True,
        metavar="FILE",
        help="JSON Lines with what requests have: text; premise and hypothesis; question and context",
    )
    prepare.add_argument(
        "--evaluate",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="labelled rows to measure FP32 and INT8 on, as for evaluate; may be given several times",
    )
    prepare.add_argument("--output", type=Path, help="directory to make (default: NAME in the models directory)")
    prepare.add_argument("--source", help="what the card says of the source (default: the directory's name)")
    prepare.set_defaults(run=_prepare)

    for add in (add_evaluate, add_list, add_show, add_verify, add_remove):
        add(commands)
    return parser


def _prepare(options: argparse.Namespace) -> int:
    from models.prepare.run import PreparationOptions, prepare

    name = options.name or options.checkpoint.resolve().name
    check_name(name)
    model = prepare(
        PreparationOptions(
            checkpoint=options.checkpoint,
            name=name,
            target=options.output or options.models_dir / name,
            calibration=options.calibration,
            evaluations=tuple(options.evaluate),
            source=options.source or options.checkpoint.resolve().name,
        )
    )
    print(f"{model.name} {model.manifest.revision} is ready in {model.directory}")
    print(describe_measurements(model.manifest))
    return 0


if __name__ == "__main__":
    sys.exit(main())
