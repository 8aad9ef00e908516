"""Fixtures of the models' tests: the bundled model, compiled once, and a copy of it to break."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from models import pipelines
from models.engine import EngineOptions
from models.pipelines.base import Pipeline
from models.store import BUNDLED_DIRECTORY, StoredModel, find

Rows = Callable[[Iterable[Any]], Path]


@pytest.fixture(scope="session")
def sentiment() -> StoredModel:
    """The bundled model on disk."""
    return find("sentiment", BUNDLED_DIRECTORY.parent / "nowhere")


@pytest.fixture(scope="session")
def pipeline(sentiment: StoredModel) -> Pipeline:
    """The bundled model, compiled."""
    return pipelines.load(sentiment, EngineOptions(threads=2))


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Writes rows into a JSON Lines file."""

    def write(values: Iterable[Any]) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(f"{json.dumps(value)}\n" for value in values), encoding="utf-8")
        return path

    return write
