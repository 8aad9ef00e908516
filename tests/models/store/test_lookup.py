"""Models are found by name or path, listed and removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.errors import CorruptModelError, InvalidNameError, ModelNotFoundError, NotRemovedError
from models.store import BUNDLED_DIRECTORY, StoredModel, find, list_entries, remove
from models.store.manifest import MANIFEST_NAME


def prepared(directory: Path, sentiment: StoredModel) -> Path:
    directory.mkdir(parents=True)
    shutil.copy(sentiment.directory / MANIFEST_NAME, directory)
    return directory


def test_a_prepared_model_goes_before_the_bundled_one_of_its_name(tmp_path: Path, sentiment: StoredModel) -> None:
    assert find("sentiment", tmp_path).directory == BUNDLED_DIRECTORY / "sentiment"
    directory = prepared(tmp_path / "sentiment", sentiment)
    assert find("sentiment", tmp_path).directory == directory


def test_a_name_with_a_slash_is_a_path_and_nothing_else(
    tmp_path: Path, sentiment: StoredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = prepared(tmp_path / "elsewhere" / "mine", sentiment)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (str(directory), "elsewhere/mine", "~/elsewhere/mine"):
        assert find(name, tmp_path / "models").directory.resolve() == directory
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
    assert "python -m models prepare MODEL --as topics" in message
    assert "celeriac-worker[prepare]" in message


def test_a_model_with_a_broken_manifest_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "sentiment").mkdir()
    (tmp_path / "sentiment" / MANIFEST_NAME).write_text("{}")
    with pytest.raises(CorruptModelError, match=str(tmp_path)):
        find("sentiment", tmp_path)


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "-rf", "a b", "a:b", "a\0b", "naïve", "x" * 201])
def test_a_name_with_odd_characters_is_refused_and_nothing_is_looked_for(tmp_path: Path, name: str) -> None:
    for ask in (find, remove):
        with pytest.raises(InvalidNameError, match="cannot be the name of a model"):
            ask(name, tmp_path)


def test_a_directory_that_holds_another_model_is_refused(tmp_path: Path, sentiment: StoredModel) -> None:
    directory = prepared(tmp_path / "renamed", sentiment)
    with pytest.raises(CorruptModelError, match="belongs to the model 'sentiment', not to 'renamed'"):
        find("renamed", tmp_path)
    assert find(str(directory), tmp_path).name == "sentiment"


def test_every_model_is_listed_with_the_broken_ones_and_those_that_another_hides(
    tmp_path: Path, sentiment: StoredModel
) -> None:
    prepared(tmp_path / "sentiment", sentiment)
    for name in ("broken", ".being-made"):
        (tmp_path / name).mkdir()
        (tmp_path / name / MANIFEST_NAME).write_text("{}")
    (tmp_path / "empty").mkdir()
    entries = list_entries(tmp_path)
    assert [(entry.name, entry.is_hidden) for entry in entries] == [
        ("broken", False),
        ("sentiment", False),
        ("nli", False),
        ("qa", False),
        ("sentiment", True),
    ]
    assert isinstance(entries[0].model, CorruptModelError)
    assert all(isinstance(entry.model, StoredModel) for entry in entries[1:])
    assert [entry.name for entry in list_entries(tmp_path / "nowhere")] == ["nli", "qa", "sentiment"]


def test_a_removed_model_is_gone_with_all_its_files_and_the_bundled_one_is_found_again(
    tmp_path: Path, sentiment: StoredModel
) -> None:
    directory = prepared(tmp_path / "sentiment", sentiment)
    assert remove("sentiment", tmp_path) == directory
    assert list(tmp_path.iterdir()) == []
    assert find("sentiment", tmp_path).is_bundled


def test_of_a_removed_link_only_the_link_goes(tmp_path: Path, sentiment: StoredModel) -> None:
    directory = prepared(tmp_path / "elsewhere" / "sentiment", sentiment)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "sentiment").symlink_to(directory)
    remove("sentiment", tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []
    assert (directory / MANIFEST_NAME).is_file()


def test_a_bundled_model_is_not_removed_wherever_models_are_kept(tmp_path: Path) -> None:
    for models_dir in (tmp_path, BUNDLED_DIRECTORY):
        with pytest.raises(NotRemovedError, match="sentiment is bundled"):
            remove("sentiment", models_dir)
    with pytest.raises(ModelNotFoundError):
        remove("topics", tmp_path)


def test_a_broken_model_can_be_removed(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / MANIFEST_NAME).write_text("{}")
    remove("broken", tmp_path)
    assert list(tmp_path.iterdir()) == []
