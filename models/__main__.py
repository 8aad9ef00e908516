"""``python -m models``: prepare, evaluate, list, show, verify and remove models.

Where models are kept is a setting, the same as a worker's. Nothing else in this package knows the settings.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from config import Settings, SettingsError, load_settings
from models.commands.evaluate import add_evaluate
from models.commands.listing import add_list
from models.commands.remove import add_remove
from models.commands.show import add_show
from models.commands.verify import add_verify
from models.errors import ModelError
from models.prepare.command import add_arguments as add_prepare_arguments
from models.store.home import name_home


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 for a model or data that is wrong, 2 for wrong usage or settings."""
    name_home()
    try:
        settings = load_settings()
    except SettingsError as error:
        print(f"wrong setting: {error}\nSee .env.example for what each takes.", file=sys.stderr)
        return 2
    options = _parser(settings).parse_args(arguments)
    try:
        status: int = options.run(options)
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


def _parser(settings: Settings) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models", description="Prepare, evaluate, list, show, verify and remove models."
    )
    parser.set_defaults(compiled_dir=settings.compiled_dir)
    parser.add_argument(
        "--models-dir",
        type=Path,
        default=settings.model_dir,
        help="where prepared models are kept (default: the setting CELERIAC_MODEL_DIR, now %(default)s)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_prepare_arguments(
        commands.add_parser("prepare", help="from a hub id or a checkpoint to an INT8 model, measured")
    )
    for add in (add_evaluate, add_list, add_show, add_verify, add_remove):
        add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
