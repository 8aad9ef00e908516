"""Fixtures for the tests of models: the bundled models, each compiled once, and rows in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from models import pipelines
from models.pipelines.base import AnyPipeline
from models.store import BUNDLED_DIRECTORY, CONFIG_NAME, StoredModel, find
from producer.contract import TaskName
from tests.models.options import engine_options

Rows = Callable[[Iterable[Any]], Path]


@pytest.fixture(scope="session")
def sentiment() -> StoredModel:
    """The bundled classifier on disk."""
    return _bundled("sentiment")


@pytest.fixture(scope="session")
def pipeline(sentiment: StoredModel) -> AnyPipeline:
    """The bundled classifier, compiled."""
    return pipelines.load(sentiment, engine_options(threads=2))


@pytest.fixture(scope="session")
def nli() -> StoredModel:
    """The bundled model for zero-shot classification, on disk."""
    return _bundled("nli")


@pytest.fixture(scope="session")
def inference(nli: StoredModel) -> dict[TaskName, AnyPipeline]:
    """Both tasks of the bundled model for zero-shot classification, compiled once."""
    return pipelines.load_all(nli, engine_options(threads=2))


@pytest.fixture(scope="session")
def zero_shot(inference: dict[TaskName, AnyPipeline]) -> AnyPipeline:
    """Zero-shot classification, compiled."""
    return inference[TaskName.ZERO_SHOT_CLASSIFICATION]


@pytest.fixture(scope="session")
def qa() -> StoredModel:
    """The bundled model for question answering, on disk."""
    return _bundled("qa")


@pytest.fixture(scope="session")
def questions(qa: StoredModel) -> AnyPipeline:
    """Question answering, compiled."""
    return pipelines.load(qa, engine_options(threads=2))


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Writes rows into a JSON Lines file."""

    def write(values: Iterable[Any]) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(f"{json.dumps(value)}\n" for value in values), encoding="utf-8")
        return path

    return write


def with_config(model: StoredModel, directory: Path, **fields: Any) -> StoredModel:
    """A copy of a model with other values in its configuration.

    Args:
        model: the model.
        directory: an empty directory for the copy.
        fields: the values.
    """
    for path in model.directory.iterdir():
        if path.name != CONFIG_NAME:
            (directory / path.name).symlink_to(path)
    config = json.loads((model.directory / CONFIG_NAME).read_bytes())
    (directory / CONFIG_NAME).write_text(json.dumps({**config, **fields}), encoding="utf-8")
    return StoredModel(directory, model.manifest)


def _bundled(name: str) -> StoredModel:
    return find(name, BUNDLED_DIRECTORY.parent / "nowhere")
