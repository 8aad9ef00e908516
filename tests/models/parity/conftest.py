"""The original checkpoints as FP32 OpenVINO models and as ``transformers`` pipelines."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import pytest

from models import pipelines
from models.pipelines.base import AnyPipeline
from models.store import StoredModel
from models.store.manifest import Manifest
from producer.contract import TaskName
from tests.conftest import CHECKPOINTS
from tests.models.options import engine_options

Reference = Callable[..., Any]
T = TypeVar("T")


def thinned(cases: Sequence[T]) -> Sequence[T]:
    """All cases, or every n-th with ``PARITY_EVERY=n`` for a quick check."""
    return cases[:: int(os.environ.get("PARITY_EVERY", "1"))]


@pytest.fixture(scope="session", autouse=True)
def _needs() -> None:
    for module in ("optimum", "torch", "transformers"):
        if find_spec(module) is None:
            pytest.skip(f"needs the prepare extra: there is no {module}")
    if not CHECKPOINTS.is_dir():
        pytest.skip(f"the checkpoints are not in {CHECKPOINTS}")


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[TaskName, AnyPipeline]]:
    """Exports a checkpoint, once, and loads it with f32 arithmetic for every task that it can do."""
    from models.prepare.graph.export import export
    from models.prepare.source.checkpoint import read_checkpoint
    from models.prepare.tokenizer import write_tokenizer

    loaded: dict[str, dict[TaskName, AnyPipeline]] = {}

    def load(name: str) -> dict[TaskName, AnyPipeline]:
        if name not in loaded:
            directory = tmp_path_factory.mktemp(name)
            checkpoint = read_checkpoint(CHECKPOINTS / name)
            export(checkpoint, directory)
            write_tokenizer(checkpoint.directory, directory)
            model = StoredModel(directory, _manifest(name, checkpoint.task, checkpoint.max_length_tokens))
            loaded[name] = pipelines.load_all(model, engine_options(threads=2, precision="f32"))
        return loaded[name]

    return load


@pytest.fixture(scope="session")
def reference() -> Callable[[TaskName, str], Reference]:
    """Makes the ``transformers`` pipeline of a checkpoint."""

    def make(task: TaskName, name: str) -> Reference:
        import torch
        from transformers import pipeline

        torch.set_num_threads(2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made: Reference = pipeline(task.value, str(CHECKPOINTS / name), dtype="float32")
        return made

    return make


def _manifest(name: str, task: TaskName, max_length: int) -> Manifest:
    return Manifest(
        name=name,
        task=task,
        source=name,
        source_sha256="0" * 64,
        licence="Apache-2.0",
        max_length_tokens=max_length,
        recipe={},
        versions={},
        files={},
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: they need the extra, and time."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.prepare)
            item.add_marker(pytest.mark.timeout(600))
            # From transformers 4.57 with numpy 2.
            item.add_marker(pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"))
