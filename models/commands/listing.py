"""``list``: the models there are, those that were prepared here and the bundled ones."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from models.commands.describe import in_mebibytes
from models.engine.precision import precision_of
from models.store import ModelEntry, StoredModel, entries

__all__ = ["add_list"]

_COLUMNS = ("name", "place", "size", "task", "accuracy", "precision", "revision")


def add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("list", help="the models there are: prepared here, and bundled")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    parser.set_defaults(run=_list)


def _list(options: argparse.Namespace) -> int:
    found = entries(options.models_dir)
    if options.json:
        print(json.dumps([_as_json(entry) for entry in found], indent=2))
        return 0
    if not found:
        print(f"no models are in {options.models_dir}, and none are bundled with an installed wheel", file=sys.stderr)
        return 0
    rows = [_COLUMNS, *(_row(entry) for entry in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for entry in found:
        if not isinstance(entry.found, StoredModel):
            print(f"{entry.name}: {entry.found}", file=sys.stderr)
    return 0


def _row(entry: ModelEntry) -> tuple[str, ...]:
    place = _place(entry) + (" (hidden)" if entry.is_hidden else "")
    if not isinstance(entry.found, StoredModel):
        return (entry.name, place, "", "broken", "", "", "")
    manifest = entry.found.manifest
    measured = manifest.measurements[0] if manifest.measurements else None
    return (
        entry.name,
        place,
        in_mebibytes(manifest.size_bytes),
        manifest.task.value,
        f"{measured.metric} {measured.int8:.4f}" if measured else "not measured",
        precision_of(entry.found) or "unknown",
        manifest.revision,
    )


def _as_json(entry: ModelEntry) -> dict[str, Any]:
    known = {"name": entry.name, "place": _place(entry), "directory": str(entry.directory), "hidden": entry.is_hidden}
    if not isinstance(entry.found, StoredModel):
        return {**known, "error": str(entry.found)}
    manifest = entry.found.manifest
    return {
        **known,
        "task": manifest.task.value,
        "size_bytes": manifest.size_bytes,
        "precision": precision_of(entry.found),
        "revision": manifest.revision,
        "measurements": [measured.model_dump() for measured in manifest.measurements],
    }


def _place(entry: ModelEntry) -> str:
    from models.store import BUNDLED_DIRECTORY

    return "bundled" if entry.directory.parent == BUNDLED_DIRECTORY else "cached"
