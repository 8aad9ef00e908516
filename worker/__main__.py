"""``python -m worker``: commands for the operator. ``celery -A worker worker`` starts a worker."""

from __future__ import annotations

import argparse
import sys

import redis

from config import SettingsError, load_settings
from config.home import ensure_home
from worker.commands.dead_letters import add_dead_letters
from worker.commands.errors import CommandError

_DESCRIPTION = "Commands for the operator of workers. `celery -A worker worker` starts a worker."
_EPILOG = """\
exit status: 0 done, 1 not all of it could be done, 2 wrong usage or a wrong setting, 3 the broker does not answer or
refuses. The broker is that of the settings (CELERIAC_BROKER_URL; `python -m config` prints them).
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line without the program's name; ``sys.argv`` if None.

    Returns:
        The exit status. Wrong usage raises SystemExit with status 2, as argparse does.
    """
    options = _parser().parse_args(arguments)
    ensure_home()
    try:
        settings = load_settings()
    except SettingsError as error:
        print(error.report, file=sys.stderr)
        return 2
    try:
        status: int = options.run(options, settings)
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    except redis.RedisError as error:
        print(f"error: the broker {settings.broker} does not answer or refuses: {error}", file=sys.stderr)
        print("Check CELERIAC_BROKER_URL and the server; `python -m config` prints the settings.", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("interrupted; every letter is either done or as it was", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worker",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_dead_letters(parser.add_subparsers(required=True, metavar="COMMAND"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
