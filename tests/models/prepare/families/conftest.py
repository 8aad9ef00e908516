"""Preparation up to the FP32 graph, which is what differs between families."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from models.store import StoredModel
from models.store.manifest import Manifest
from tests.models.options import engine_options

__all__ = ["prepare_in_fp32"]


@pytest.fixture(scope="session", autouse=True)
def _needs() -> None:
    for module in ("optimum", "torch", "transformers", "sentencepiece", "google.protobuf"):
        if find_spec(module) is None:
            pytest.skip(f"needs the prepare extra: there is no {module}")


def prepare_in_fp32(directory: Path, target: Path, *, entailment: str = "", contradiction: str = "") -> StoredModel:
    """Prepare a checkpoint as the command does, but for quantization, and compare it with transformers.

    Args:
        directory: the checkpoint.
        target: a new directory.
        entailment: as the option of the command.
        contradiction: as the option of the command.

    Returns:
        The model; its manifest says what was compared.

    Raises:
        PreparationError: it is refused.
    """
    from models.pipelines.entailment import InferenceLabels
    from models.prepare.check.check import check
    from models.prepare.feeding import with_feeding
    from models.prepare.graph.export import export
    from models.prepare.source.checkpoint import read_checkpoint
    from models.prepare.tokenizer import write_tokenizer

    checkpoint = read_checkpoint(directory, labels=InferenceLabels(entailment, contradiction))
    target.mkdir()
    write_tokenizer(directory, target)
    draft = Manifest(
        name=directory.name,
        task=checkpoint.task,
        source="a test",
        source_sha256="0",
        licence="none",
        max_length_tokens=checkpoint.max_length_tokens,
        entailment_label=entailment,
        contradiction_label=contradiction,
        recipe={},
        versions={},
        files={},
    )
    model = StoredModel(target, with_feeding(draft, checkpoint))
    export(checkpoint, target)
    seen = check(model, checkpoint, engine_options(), is_published=False)
    return StoredModel(target, model.manifest.model_copy(update={"check": seen}))
