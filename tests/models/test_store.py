"""A model is found by its name or its path."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.errors import CorruptModelError, ModelNotFoundError
from models.manifest import MANIFEST_NAME
from models.store import BUNDLED_DIRECTORY, StoredModel, find


def prepared(place: Path, sentiment: StoredModel) -> Path:
    place.mkdir(parents=True)
    shutil.copy(sentiment.directory / MANIFEST_NAME, place)
    return place


def test_a_prepared_model_goes_before_the_bundled_one_of_its_name(tmp_path: Path, sentiment: StoredModel) -> None:
    assert find("sentiment", tmp_path).directory == BUNDLED_DIRECTORY / "sentiment"
    place = prepared(tmp_path / "sentiment", sentiment)
    assert find("sentiment", tmp_path).directory == place


def test_a_name_with_a_slash_is_a_path_and_nothing_else(
    tmp_path: Path, sentiment: StoredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = prepared(tmp_path / "elsewhere" / "mine", sentiment)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (str(place), "elsewhere/mine", "~/elsewhere/mine"):
        assert find(name, tmp_path / "models").directory.resolve() == place
    with pytest.raises(ModelNotFoundError):
        find("./sentiment", tmp_path)


def test_a_directory_without_a_manifest_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "sentiment").mkdir()
    assert find("sentiment", tmp_path).directory == BUNDLED_DIRECTORY / "sentiment"


def test_a_model_that_is_not_there_is_answered_with_the_places_and_the_command(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find("topics", tmp_path)
    message = str(caught.value)
    assert f"'topics' in {tmp_path}, {BUNDLED_DIRECTORY}" in message
    assert "python -m models prepare PATH_OF_CHECKPOINT --as topics" in message
    assert "celeriac[prepare]" in message


def test_a_model_with_a_broken_manifest_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "sentiment").mkdir()
    (tmp_path / "sentiment" / MANIFEST_NAME).write_text("{}")
    with pytest.raises(CorruptModelError, match=str(tmp_path)):
        find("sentiment", tmp_path)
