"""``show``: the manifest of one model."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from models.engine.arithmetic import Arithmetic, likely_fastest
from models.engine.verdict import verdicts_of
from models.store import StoredModel, find
from models.store.describe import describe_measurements, describe_trials, format_mebibytes
from models.store.precision import Precision, precision_of

__all__ = ["add_show"]

_SHOWN_SEPARATELY = frozenset({"files", "measurements", "format", "trials", "trial_conditions", "distance_in_f32"})


def add_show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "show",
        help="show where a model comes from, how it was made and is computed, its files, the recipes "
        "that were tried, and its accuracy",
    )
    parser.add_argument("model", metavar="NAME", help="name or path of a prepared model")
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON, with what is known beside it")
    parser.set_defaults(run=_show)


def _show(options: argparse.Namespace) -> int:
    model = find(options.model, options.models_dir)
    manifest = model.manifest
    if options.json:
        facts = {
            "directory": str(model.directory),
            "revision": manifest.revision,
            "precision": precision_of(model),
            "arithmetic": options.engine.arithmetic or "auto",
            "arithmetic_measured": [
                asdict(verdict) for verdict in verdicts_of(options.compiled_dir, manifest.revision)
            ],
        }
        print(json.dumps({**facts, **manifest.model_dump(mode="json")}, indent=2))
        return 0
    print(_describe(model, _arithmetic(model, options.engine.arithmetic, options.compiled_dir)))
    return 0


def _arithmetic(model: StoredModel, setting: Arithmetic | None, compiled_dir: Path) -> str:
    """In which arithmetic a worker on this host computes the model, and what was measured on this and other CPUs."""
    if precision_of(model) is not Precision.INT8:
        return "nothing to choose, since the activations are not quantized"
    if setting is not None:
        return f"{setting} on every CPU, by the setting CELERIAC_ENGINE_ARITHMETIC"
    verdicts = verdicts_of(compiled_dir, model.manifest.revision)
    here = [f"{verdict} here" for verdict in verdicts if verdict.is_for_this_cpu()]
    elsewhere = [f"{verdict} elsewhere" for verdict in verdicts if not verdict.is_for_this_cpu()]
    likely = likely_fastest([Arithmetic.F32, Arithmetic.INT8])
    unknown = f"to be measured at the first start on this CPU, probably {likely}"
    return "; ".join([*(here or [unknown]), *elsewhere])


def _describe(model: StoredModel, arithmetic: str) -> str:
    manifest = model.manifest
    facts = {
        "name": model.name,
        "revision": manifest.revision,
        "directory": f"{model.directory} ({'bundled' if model.is_bundled else 'cached'})",
        "size": format_mebibytes(manifest.size_bytes),
        "precision": precision_of(model) or "unknown",
        "arithmetic": arithmetic,
    }
    for name, value in manifest.model_dump(mode="json", exclude=set(_SHOWN_SEPARATELY)).items():
        facts.setdefault(name.replace("_", " "), _in_words(value))
    width = max(map(len, facts)) + 2
    lines = [f"{name:<{width}}{value}" for name, value in facts.items()]
    lines += ["files"] + [
        f"  {record.sha256[:12]}  {format_mebibytes(record.size_bytes):>10}  {name}"
        for name, record in sorted(manifest.files.items())
    ]
    return "\n".join([*lines, describe_trials(manifest), describe_measurements(manifest)])


def _in_words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(inner)}" for name, inner in value.items())
    return "none" if value is None else str(value)
