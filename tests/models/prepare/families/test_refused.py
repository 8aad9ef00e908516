"""What cannot be served is refused in one sentence, from its configuration and the names of its files alone."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.__main__ import main
from models.prepare.source.locate import locate
from tests.models.hub import LocalHub
from tests.models.prepare.conftest import left_behind, serve
from tests.models.prepare.families.checkpoints import Head, Recipe, Weights, write_checkpoint
from tests.models.prepare.families.refusals import REFUSED, publish_refused

pytestmark = pytest.mark.prepare


@dataclass(frozen=True)
class _Outcome:
    """How a preparation ended: its status, what it said, and what the hub sent meanwhile."""

    status: int
    said: list[str]
    downloads: list[str]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, _Outcome]]:
    """The outcome of preparing each repository, from one hub with an empty cache."""
    directory = tmp_path_factory.mktemp("refused")
    publish_refused(directory / "hub")
    with pytest.MonkeyPatch.context() as patch:
        for hub in serve(directory / "hub", directory, patch):
            yield {hub_id: _prepare(hub, directory / "models", hub_id) for hub_id in REFUSED}
    assert left_behind(directory / "models") == []


def _prepare(hub: LocalHub, models_dir: Path, hub_id: str) -> _Outcome:
    hub.downloads.clear()
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        status = main(["--models-dir", str(models_dir), "prepare", hub_id, *REFUSED[hub_id].arguments])
    return _Outcome(status, said.getvalue().strip().splitlines(), list(hub.downloads))


@pytest.mark.parametrize("hub_id", REFUSED)
def test_what_cannot_be_served_is_refused_in_one_sentence(refused: dict[str, _Outcome], hub_id: str) -> None:
    outcome = refused[hub_id]
    assert outcome.status == 1
    *progress, sentence = outcome.said
    assert sentence.startswith("error: ")
    assert all("config.json" in line or "Fetching" in line for line in progress), progress
    assert re.search(REFUSED[hub_id].reason, sentence), sentence


def test_of_all_that_is_refused_only_configurations_are_fetched(refused: dict[str, _Outcome]) -> None:
    fetched = {hub_id: outcome.downloads for hub_id, outcome in refused.items()}
    assert len(fetched) == len(REFUSED)
    assert all(downloads in ([], [f"{hub_id}/config.json"]) for hub_id, downloads in fetched.items()), fetched


def test_of_a_model_in_several_files_all_are_fetched_with_its_sentence_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe("deberta-v2", "DebertaV2Tokenizer", Head.NLI, Weights.SHARDS, has_json=False)
    write_checkpoint(tmp_path / "hub" / "a" / "shards", recipe)
    for hub in serve(tmp_path / "hub", tmp_path, monkeypatch):
        source = locate("a/shards", None)
        shards = [name for name in hub.files("a/shards") if name.endswith(".safetensors")]
        assert len(shards) > 1
        assert {path.name for path in source.directory.iterdir()} == set(hub.files("a/shards"))
        assert "spm.model" in hub.files("a/shards")
