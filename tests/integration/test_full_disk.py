"""A worker starts and serves although nothing can be written where compiled models are kept."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from models.store import find
from producer import Client


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 1 MiB, which is less than a model takes."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", where], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here, which takes root: {mounted.stderr}")
    yield where
    subprocess.run(["umount", where], check=True)


def test_a_full_disk_costs_a_warning(
    own_environment: dict[str, str], own_server: LocalServer, small_disk: Path, tmp_path: Path
) -> None:
    sentiment = find("sentiment", tmp_path)
    mine = Path(shutil.copytree(sentiment.directory, tmp_path / "models" / "mine"))
    sentiment.manifest.model_copy(update={"name": "mine"}).write(mine)
    compiled = small_disk / "compiled"
    environment = {
        **own_environment,
        "CELERIAC_MODELS": "mine",
        "CELERIAC_MODEL_DIR": str(mine.parent),
        "CELERIAC_COMPILED_DIR": str(compiled),
        "CELERIAC_ENGINE_ARITHMETIC": "auto",
    }
    with (
        LocalWorker(["--concurrency=1"], environment) as worker,
        Client(own_server.url, timeout_s=PATIENCE_S) as client,
    ):
        worker.wait_until_ready()

        assert client.classify("A delight.")[0]["label"] == "POSITIVE"
        assert f"mine cannot be copied to {compiled} (No space left on device)" in worker.log
        assert f"compiled models cannot be kept in {compiled}" in worker.log
        left = {path.suffix for path in compiled.rglob("*") if path.is_file()}
        # The measured arithmetic is small enough. What was written in part is deleted.
        assert left <= {".json", ".lock"}
