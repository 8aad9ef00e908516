"""Hub ids and paths are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.prepare.source.source import is_hub_id


def test_a_hub_id_has_an_owner_and_a_name_or_a_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    for text in ("typeform/distilbert-base-uncased-mnli", "bert-base-uncased", "a/b.c_d"):
        assert is_hub_id(text)
    for text in ("here", "a/b/c", "./a", "../a/b", "/a", "~/a", "-a", ""):
        assert not is_hub_id(text)
