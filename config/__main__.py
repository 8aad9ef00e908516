"""``python -m config``: prints the effective settings, and where each value comes from."""

from __future__ import annotations

import argparse
import sys

from config.report import describe, example_env, unknown_variables
from config.settings import Settings, SettingsError, load_settings
from config.variables import unknown_setting_message


def main(arguments: list[str] | None = None) -> int:
    """Print the settings; return the exit status: 0, or 2 if a setting is wrong.

    Args:
        arguments: of the command line; None for those of this process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m config", description="Print the effective settings, with secrets masked."
    )
    parser.add_argument("--example", action="store_true", help="print the content of .env.example instead")
    options = parser.parse_args(arguments)
    if options.example:
        print(example_env(), end="")
        return 0
    try:
        lines = list(describe(load_settings()))
    except SettingsError as error:
        print(error.report, file=sys.stderr)
        return 2
    width = max(len(line.variable) for line in lines)
    for line in lines:
        print(f"{line.variable:<{width}}  {line.value:<42}  ({line.origin.value})")
    for name in unknown_variables():
        print(f"warning: {name}: {unknown_setting_message(name.upper(), Settings)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
