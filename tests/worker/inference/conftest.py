"""Fixtures of the tests of inference: the bundled models, loaded once as a pool process loads them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from config import Settings, load_settings
from models.pipelines.base import AnyPipeline
from models.store import StoredModel, find
from producer.contract import TaskName
from tests.conftest import TEST_SETTINGS
from worker.inference.loaded_models import LoadedModels

Pipelines = Mapping[str, AnyPipeline]
NOWHERE = Path("nowhere")


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The settings of the tests."""
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("CELERIAC_") and name not in TEST_SETTINGS]:
            environment.delenv(name)
        return load_settings()


@pytest.fixture(scope="session")
def bundled() -> dict[str, StoredModel]:
    """The bundled models on disk, by name; the one for zero-shot classification first, which also classifies texts."""
    return {name: find(name, NOWHERE) for name in ("nli", "sentiment", "qa")}


@pytest.fixture(scope="session")
def loaded(bundled: dict[str, StoredModel], settings: Settings) -> LoadedModels:
    """The bundled models, loaded."""
    return LoadedModels.load(bundled.values(), settings, threads=1)


@pytest.fixture(scope="session")
def classifiers(loaded: LoadedModels) -> Pipelines:
    """The pipelines for text classification: ``sentiment``, then ``nli``."""
    return loaded.pipelines[TaskName.TEXT_CLASSIFICATION]
