"""``python -m producer``: sends texts to the workers from a shell. The commands are in ``producer/commands/``."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from producer.commands.group import HELP_OPTIONS, CommandGroup, as_command_line

__all__ = ["main"]

_HELP = """Send texts to the workers, and print their answers.

\b
    python -m producer classify "a charming and often affecting journey"
    python -m producer zero-shot --labels delivery,praise "The chair arrived with a cracked leg."
    python -m producer ask --question "Who designed it?" "The bridge was designed by Ingrid Halvorsen."
    python -m producer map --task text-classification --column review reviews.csv --output answers.jsonl

Each command has more in its own --help. `python -m producer FILE` is `python -m producer map FILE`.

Without --broker-url, the servers come from the settings, as for a worker: environment, .env and celeriac.toml.

Exit status: 0 if every request was answered, 1 if one was not, 2 for a usage error, 3 if the broker is unavailable or
no worker answers in time, 130 after Ctrl-C.
"""


def main(arguments: list[str] | None = None) -> None:
    """Run one command, and end the process with its exit status.

    Args:
        arguments: the command line without the program's name; ``sys.argv`` if None.
    """
    group = CommandGroup(
        name="producer", help=_HELP, context_settings={"help_option_names": list(HELP_OPTIONS), "obj": servers}
    )
    group.main(as_command_line(sys.argv[1:] if arguments is None else arguments), prog_name="python -m producer")


def servers(broker_url: str | None, result_backend_url: str | None) -> tuple[str, str | None]:
    """URLs of the broker and the result backend; None if the results are in the broker.

    The command line takes precedence over the settings.

    Raises:
        ValueError: a setting is wrong.
    """
    if broker_url and result_backend_url:
        return broker_url, result_backend_url
    broker, backend = _servers_from_settings() if _has_settings() else _servers_from_environment()
    return broker_url or broker, result_backend_url or backend


def _has_settings() -> bool:
    """Whether ``config`` is our package: a service may have one of that name, which would be found first."""
    spec = find_spec("config")
    if spec is None or spec.origin is None:
        return False
    if Path(spec.origin).resolve().parents[1] != Path(__file__).resolve().parents[1]:
        return False
    # A distribution of somebody else may have put its `config` into the same site-packages.
    return hasattr(import_module("config"), "load_settings")


def _servers_from_settings() -> tuple[str, str | None]:
    # Only this command, which is run from a full installation, may import a sibling package.
    from config import load_settings

    settings = load_settings()
    return settings.broker.url, settings.result_backend.url if settings.result_backend_url else None


def _servers_from_environment() -> tuple[str, str | None]:
    from producer.contract.redis_url import server_url
    from producer.options import DEFAULT_URL

    def server(name: str, default: str = "") -> str:
        url = os.environ.get(f"{name}_URL") or default
        return server_url(f"{name}_URL", url, os.environ.get(f"{name}_PASSWORD") or None).url if url else ""

    return server("CELERIAC_BROKER", DEFAULT_URL), server("CELERIAC_RESULT_BACKEND") or None


if __name__ == "__main__":
    main()
