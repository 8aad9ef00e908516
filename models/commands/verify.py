"""``verify``: compare every file of the models with its checksum."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from models.errors import ModelError
from models.store import StoredModel, find, list_entries
from models.store.describe import format_mebibytes

__all__ = ["add_verify"]


def add_verify(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "verify", help="compare every file of the models with its checksum; exit status 1 if one is bad"
    )
    parser.add_argument("models", metavar="NAME", nargs="*", help="names or paths of prepared models (default: all)")
    parser.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    models = list(_named(options.models, options.models_dir) if options.models else _all(options.models_dir))
    bad = 0
    with tqdm(total=_size_bytes(models), desc="verify", unit="B", unit_scale=True, disable=None, leave=False) as bar:
        for name, model in models:
            try:
                if isinstance(model, ModelError):
                    raise model
                model.verify()
            except ModelError as error:
                bad += 1
                with bar.external_write_mode(file=sys.stderr):
                    print(f"{name}: {error}", file=sys.stderr)
                continue
            bar.update(model.manifest.size_bytes)
            with bar.external_write_mode():
                size = format_mebibytes(model.manifest.size_bytes)
                print(f"{name}: {len(model.manifest.files)} files, {size}, unchanged since preparation")
    if bad:
        print(f"error: {bad} of {len(models)} models cannot be served", file=sys.stderr)
    return 1 if bad else 0


def _named(names: Iterable[str], models_dir: Path) -> Iterable[tuple[str, StoredModel | ModelError]]:
    for name in names:
        try:
            yield name, find(name, models_dir)
        except ModelError as error:
            yield name, error


def _all(models_dir: Path) -> Iterable[tuple[str, StoredModel | ModelError]]:
    for entry in list_entries(models_dir):
        yield entry.name, entry.model


def _size_bytes(models: Iterable[tuple[str, StoredModel | ModelError]]) -> int:
    return sum(model.manifest.size_bytes for _, model in models if isinstance(model, StoredModel))
