"""``remove``: delete a prepared model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from models.engine.compiled_cache import delete_compiled
from models.errors import CorruptModelError, NotRemovedError
from models.store import removable_directory, remove
from models.store.in_use import is_in_use
from models.store.manifest import Manifest

__all__ = ["add_remove"]


def add_remove(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("remove", help="delete a prepared model; bundled ones cannot be removed")
    parser.add_argument("model", metavar="NAME", help="name of the model")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    parser.set_defaults(run=_remove)


def _remove(options: argparse.Namespace) -> int:
    directory = removable_directory(options.model, options.models_dir)
    if is_in_use(directory):
        print(
            f"a worker on this host serves {options.model}: it goes on with its copy, but cannot start again",
            file=sys.stderr,
        )
    if not options.yes and not _confirm(f"delete {directory}?"):
        print("nothing was deleted", file=sys.stderr)
        return 1
    revision = _revision(directory)
    print(f"deleted {remove(options.model, options.models_dir)}")
    if revision:
        delete_compiled(options.compiled_dir, revision)
    return 0


def _revision(directory: Path) -> str | None:
    try:
        return Manifest.read(directory).revision
    except CorruptModelError:
        return None


def _confirm(question: str) -> bool:
    if not sys.stdin.isatty():
        raise NotRemovedError("cannot ask for confirmation: standard input is not a terminal. Use --yes to delete it")
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
