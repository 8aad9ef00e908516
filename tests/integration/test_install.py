"""What the distribution holds, and what installing it brings along."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from examples.local_stack import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
MAX_WHEEL_BYTES = 1_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that a producer installs."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = target.glob("*.whl")
    return built


def test_the_wheel_is_small_typed_and_has_the_four_packages_without_the_bundled_models(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert wheel.stat().st_size < MAX_WHEEL_BYTES
    assert not [name for name in names if "bundled" in name or name.startswith(("tests/", "examples/"))]
    for package in ("worker", "producer", "config", "models"):
        assert f"{package}/__init__.py" in names
        assert f"{package}/py.typed" in names


@pytest.mark.timeout(300)
def test_a_producers_install_has_neither_openvino_nor_torch_nor_numpy_nor_transformers(
    wheel: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    constraints = str(ROOT / "constraints.txt")
    install = [str(python), "-m", "pip", "install", "--quiet", "-c", constraints, str(wheel)]
    subprocess.run(install, check=True, capture_output=True)

    check = "import producer, importlib.metadata as m; producer.Client; print(*[d.name for d in m.distributions()])"
    done = subprocess.run([str(python), "-c", check], capture_output=True, text=True, check=True, cwd=tmp_path)

    installed = {name.lower() for name in done.stdout.split()}
    assert "celery" in installed
    assert not installed & {"openvino", "torch", "numpy", "transformers", "tokenizers", "sentry-sdk"}


@pytest.mark.timeout(300)
def test_a_worker_installed_without_models_names_the_command_that_gets_one(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)

    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "worker", "worker"],
        cwd=target,
        env={"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert done.returncode != 0
    assert "python -m models prepare MODEL --as sentiment" in done.stderr
