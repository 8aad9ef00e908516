"""``show``: the manifest of one model."""

from __future__ import annotations

import argparse
import json

from models.store import StoredModel, find
from models.store.describe import describe_measurements, format_mebibytes
from models.store.precision import precision_of

__all__ = ["add_show"]

_SHOWN_SEPARATELY = frozenset({"files", "measurements", "format"})


def add_show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "show", help="show where a model comes from, how it was made, its files and its accuracy"
    )
    parser.add_argument("model", metavar="NAME", help="name or path of a prepared model")
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON, with directory and revision")
    parser.set_defaults(run=_show)


def _show(options: argparse.Namespace) -> int:
    model = find(options.model, options.models_dir)
    manifest = model.manifest
    if options.json:
        facts = {"directory": str(model.directory), "revision": manifest.revision, "precision": precision_of(model)}
        print(json.dumps({**facts, **manifest.model_dump(mode="json")}, indent=2))
        return 0
    print(_describe(model))
    return 0


def _describe(model: StoredModel) -> str:
    manifest = model.manifest
    facts = {
        "name": model.name,
        "revision": manifest.revision,
        "directory": f"{model.directory} ({'bundled' if model.is_bundled else 'cached'})",
        "size": format_mebibytes(manifest.size_bytes),
        "precision": precision_of(model) or "unknown",
    }
    for name, value in manifest.model_dump(mode="json", exclude=set(_SHOWN_SEPARATELY)).items():
        facts.setdefault(name.replace("_", " "), _in_words(value))
    width = max(map(len, facts)) + 2
    lines = [f"{name:<{width}}{value}" for name, value in facts.items()]
    lines += ["files"] + [
        f"  {record.sha256[:12]}  {format_mebibytes(record.size_bytes):>10}  {name}"
        for name, record in sorted(manifest.files.items())
    ]
    return "\n".join([*lines, describe_measurements(manifest)])


def _in_words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(inner)}" for name, inner in value.items())
    return "none" if value is None else str(value)
