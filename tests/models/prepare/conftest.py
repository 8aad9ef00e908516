"""A local hub with miniatures of the published models, and ``huggingface_hub`` pointed at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from models.__main__ import main
from tests.models.hub import LocalHub
from tests.models.published import ALIASES, publish

#: Runs the command; returns its exit status and the last line of its standard error.
Prepare = Callable[..., tuple[int, str]]


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All repositories, created once; no test changes them."""
    for module in ("optimum", "torch", "transformers", "nncf", "onnx", "onnxruntime"):
        if find_spec(module) is None:
            pytest.skip(f"needs the prepare and dev extras: there is no {module}")
    root = tmp_path_factory.mktemp("hub")
    publish(root)
    return root


@pytest.fixture
def own_repositories(repositories: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return shutil.copytree(repositories, tmp_path / "hub")


@pytest.fixture
def hub(repositories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """The hub, with an empty cache."""
    yield from serve(repositories, tmp_path, monkeypatch)


@pytest.fixture
def own_hub(own_repositories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A hub with the test's own repositories and an empty cache."""
    yield from serve(own_repositories, tmp_path, monkeypatch)


def serve(root: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    from huggingface_hub import constants, file_download

    with LocalHub(root, ALIASES) as hub:
        # HF_ENDPOINT and HF_HUB_CACHE are read when the library is imported, which has happened by now.
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(directory / "cache"))
        yield hub


@pytest.fixture
def prepare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Prepare:
    """Runs the command in this process, with models in ``tmp_path / "models"``."""

    def run(origin: str | Path, *arguments: str | Path) -> tuple[int, str]:
        command = ["--models-dir", tmp_path / "models", "prepare", origin, *arguments]
        status = main([str(argument) for argument in command])
        return status, capsys.readouterr().err.strip().splitlines()[-1]

    return run


def left_behind(directory: Path) -> list[str]:
    """Names of everything in the models directory, hidden or not."""
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []
