"""``python -m models``: prepare, evaluate, list, show, verify and remove models.

The commands take directories and batching from the same settings as a worker. No other module of this package reads
the settings.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from config import Settings, SettingsError, load_settings
from config.home import ensure_home
from models.commands.evaluate import add_evaluate
from models.commands.listing import add_list
from models.commands.prepare import add_prepare
from models.commands.remove import add_remove
from models.commands.show import add_show
from models.commands.verify import add_verify
from models.engine.arithmetic import wanted_arithmetic
from models.engine.batching import BatchingOptions
from models.engine.options import EngineOptions
from models.errors import ModelError


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line without the program's name; ``sys.argv`` if None.

    Returns:
        The exit status: 0, 1 if a model or data file is invalid, 2 if the settings are. Wrong usage raises SystemExit
        with status 2, as argparse does.
    """
    ensure_home()
    try:
        settings = load_settings()
    except SettingsError as error:
        print(error.report, file=sys.stderr)
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
    engine = _engine_options(settings)
    parser.set_defaults(compiled_dir=settings.compiled_dir, engine=engine, batching=engine.batching)
    parser.add_argument(
        "--models-dir",
        type=Path,
        default=settings.model_dir,
        help="directory of the prepared models (default: the setting CELERIAC_MODEL_DIR, currently %(default)s)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (add_prepare, add_evaluate, add_list, add_show, add_verify, add_remove):
        add(commands)
    return parser


def _engine_options(settings: Settings) -> EngineOptions:
    """How a worker compiles its models."""
    return EngineOptions(
        threads=settings.cores.per_process,
        precision=settings.engine.precision.value,
        batching=BatchingOptions(settings.batch.max_tokens, settings.batch.length_multiple),
        cache_dir=settings.compiled_dir if settings.engine.cache else None,
        arithmetic=wanted_arithmetic(settings.engine.arithmetic.value),
    )


if __name__ == "__main__":
    sys.exit(main())
