"""Every test of the settings runs in an empty working directory, without ``.env`` and ``celeriac.toml``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import TEST_SETTINGS


@pytest.fixture(autouse=True)
def working_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; no setting is set."""
    for name in TEST_SETTINGS:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path
