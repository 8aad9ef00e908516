"""What a process loads that starts days after its worker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import Settings, load_settings
from examples.local_stack.model_revisions import ModelRevisions
from models import store
from worker.inference.taken_models import TakenModel, take


@pytest.fixture
def revisions(tmp_path: Path) -> ModelRevisions:
    return ModelRevisions(tmp_path / "models")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("CELERIAC_COMPILED_DIR", str(tmp_path / "compiled"))
    return load_settings()


@pytest.fixture
def taken(revisions: ModelRevisions, settings: Settings) -> Iterator[TakenModel]:
    revisions.prepare("A")
    made, problem = take(store.find("mine", revisions.directory.parent), settings)
    assert problem is None
    yield made
    made.close()


def test_the_copy_is_loaded_and_without_it_the_directory_if_it_is_unchanged(
    taken: TakenModel, revisions: ModelRevisions
) -> None:
    assert taken.is_copy
    assert taken.present() == taken.model
    shutil.rmtree(taken.model.directory)
    assert taken.present().directory == revisions.directory
    assert taken.can_be_loaded()


def test_a_revision_that_is_nowhere_cannot_be_loaded(taken: TakenModel, revisions: ModelRevisions) -> None:
    second = revisions.prepare("B")
    assert taken.can_be_loaded()
    shutil.rmtree(taken.model.directory)
    assert not taken.can_be_loaded()
    assert taken.present().manifest.revision == second


@pytest.mark.parametrize("setting", ["CELERIAC_ENGINE_CACHE", "CELERIAC_COMPILED_DIR"])
def test_a_model_that_cannot_be_copied_is_served_where_it_is(
    revisions: ModelRevisions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    (tmp_path / "a-file").touch()
    monkeypatch.setenv(setting, "false" if setting.endswith("CACHE") else str(tmp_path / "a-file"))
    revisions.prepare("A")

    taken, problem = take(store.find("mine", revisions.directory.parent), load_settings())

    assert (problem is None) == setting.endswith("CACHE")
    assert not taken.is_copy
    assert taken.model.directory == revisions.directory
    taken.close()
