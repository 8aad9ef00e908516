"""Every test of the settings has a working directory of its own, without ``.env`` and ``celeriac.toml``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import COMPILED_DIR


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; nothing is set."""
    monkeypatch.delenv(COMPILED_DIR)
    monkeypatch.chdir(tmp_path)
    return tmp_path
