"""``list``: the prepared and the bundled models."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from models.store import BUNDLED_DIRECTORY, ModelEntry, StoredModel, list_entries
from models.store.describe import format_mebibytes
from models.store.precision import precision_of

__all__ = ["add_list"]

_COLUMNS = ("name", "place", "size", "task", "accuracy", "precision", "revision")


def add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("list", help="list the prepared and the bundled models")
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    parser.set_defaults(run=_list)


def _list(options: argparse.Namespace) -> int:
    entries = list_entries(options.models_dir)
    if options.json:
        print(json.dumps([_as_json(entry) for entry in entries], indent=2))
        return 0
    if not entries:
        print(f"no models in {options.models_dir}, and this installation bundles none", file=sys.stderr)
        return 0
    rows = [_COLUMNS, *(_row(entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for entry in entries:
        if not isinstance(entry.model, StoredModel):
            print(f"{entry.name}: {entry.model}", file=sys.stderr)
    return 0


def _row(entry: ModelEntry) -> tuple[str, ...]:
    place = _place(entry) + (" (hidden)" if entry.is_hidden else "")
    if not isinstance(entry.model, StoredModel):
        return (entry.name, place, "", "broken", "", "", "")
    manifest = entry.model.manifest
    measured = manifest.measurements[0] if manifest.measurements else None
    return (
        entry.name,
        place,
        format_mebibytes(manifest.size_bytes),
        manifest.task.value,
        f"{measured.metric} {measured.int8:.4f}" if measured else "not measured",
        precision_of(entry.model) or "unknown",
        manifest.revision,
    )


def _as_json(entry: ModelEntry) -> dict[str, Any]:
    facts = {"name": entry.name, "place": _place(entry), "directory": str(entry.directory), "hidden": entry.is_hidden}
    if not isinstance(entry.model, StoredModel):
        return {**facts, "error": str(entry.model)}
    manifest = entry.model.manifest
    return {
        **facts,
        "task": manifest.task.value,
        "size_bytes": manifest.size_bytes,
        "precision": precision_of(entry.model),
        "revision": manifest.revision,
        "measurements": [measured.model_dump() for measured in manifest.measurements],
    }


def _place(entry: ModelEntry) -> str:
    return "bundled" if entry.directory.parent == BUNDLED_DIRECTORY else "cached"
