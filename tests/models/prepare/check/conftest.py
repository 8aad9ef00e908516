"""Exported models that a test may damage before they are checked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from models.store import StoredModel
from models.store.manifest import CheckRecord, Manifest
from tests.models.options import engine_options
from tests.models.prepare.check.families import FAMILIES, write_family
from tests.models.tiny_checkpoint import INFERENCE_LABELS, LABELS, write_checkpoint

if TYPE_CHECKING:
    from models.prepare.source.checkpoint import Checkpoint


@dataclass(frozen=True)
class Exported:
    """A checkpoint and its FP32 graph as a preparation has it before the check."""

    checkpoint: Checkpoint
    model: StoredModel

    def copy(self, directory: Path) -> Exported:
        """The same with a directory that may be changed."""
        shutil.copytree(self.model.directory, directory)
        return Exported(self.checkpoint, StoredModel(directory, self.model.manifest))

    def with_facts(self, **fields: Any) -> Exported:
        """The same with other values in the manifest; ``feeding`` may be given in part."""
        manifest = self.model.manifest
        feeding = manifest.feeding.model_copy(update=fields.pop("feeding", {}))
        changed = manifest.model_copy(update={**fields, "feeding": feeding})
        return Exported(self.checkpoint, StoredModel(self.model.directory, changed))

    def check(self, *, is_published: bool = False) -> CheckRecord:
        """Check it as a preparation does."""
        from models.prepare.check.check import check

        return check(self.model, self.checkpoint, engine_options(), is_published=is_published)


Export = Callable[[str], Exported]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Exports a family, or ``bert``, ``inference`` or ``questions``, once; no test changes what it gives."""
    for module in ("optimum", "torch", "transformers", "nncf"):
        if find_spec(module) is None:
            pytest.skip(f"needs the prepare extra: there is no {module}")
    done: dict[str, Exported] = {}
    berts = {"bert": LABELS, "inference": INFERENCE_LABELS, "questions": None}

    def export_one(name: str) -> Exported:
        if name not in done:
            source = tmp_path_factory.mktemp(name) / "checkpoint"
            if name in FAMILIES:
                write_family(name, source)
            else:
                write_checkpoint(source, berts[name])
            done[name] = _export(source, source.parent / "graph")
        return done[name]

    return export_one


def _export(source: Path, target: Path) -> Exported:
    from models.prepare.feeding import with_feeding
    from models.prepare.graph.export import export
    from models.prepare.source.checkpoint import read_checkpoint
    from models.prepare.tokenizer import write_tokenizer

    target.mkdir()
    checkpoint = read_checkpoint(source)
    write_tokenizer(source, target)
    export(checkpoint, target)
    draft = Manifest(
        name="tiny",
        task=checkpoint.task,
        source="a test",
        source_sha256="0" * 64,
        licence="none",
        max_length_tokens=checkpoint.max_length_tokens,
        recipe={},
        versions={},
        files={},
    )
    return Exported(checkpoint, StoredModel(target, with_feeding(draft, checkpoint)))
