"""Imports go one way, OpenVINO stays out of a worker's parent, and files stay short."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("worker", "producer", "config", "models")
MAX_LINES = 400
CORE = Path("models/engine/openvino_core.py")
#: What each package may import of the others; of the producer, never more than its contract.
ALLOWED = {
    "producer": set[str](),
    "models": {"producer.contract"},
    "config": {"producer.contract"},
    "worker": {"producer.contract", "models", "config"},
}
#: Where a command is put together: nothing imports these files, and they alone read the settings in their packages.
COMMANDS = {Path("models/__main__.py"): {"config"}, Path("producer/__main__.py"): {"config"}}
CELERY_AND_REDIS = ("celery", "kombu", "billiard", "vine", "redis")


def sources(*directories: str) -> list[Path]:
    """The Python files of some directories, as paths in the project."""
    return sorted(path.relative_to(ROOT) for name in directories for path in (ROOT / name).rglob("*.py"))


def imports(source: Path) -> Iterator[str]:
    """Full names of what a file imports, inside functions too."""
    for node in ast.walk(ast.parse((ROOT / source).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}:{node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def users(packages: Iterable[str], *directories: str) -> set[Path]:
    """The files that import any of some packages."""
    return {source for source in sources(*directories) if any(is_in(name, packages) for name in imports(source))}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_those_below_it_and_of_the_producer_only_its_contract(package: str) -> None:
    siblings = set(PACKAGES) - {package}
    assert sources(package)
    for source in sources(package):
        others = {name for name in imports(source) if is_in(name, siblings)}
        allowed = ALLOWED[package] | COMMANDS.get(source, set())
        assert not {name for name in others if not is_in(name, allowed)}, source


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_nothing_imports_a_command_that_reads_the_settings(command: Path) -> None:
    assert any(is_in(name, COMMANDS[command]) for name in imports(command))
    assert users([".".join(command.with_suffix("").parts)], *PACKAGES) == set()


def test_models_know_nothing_of_celery_and_redis() -> None:
    assert users(CELERY_AND_REDIS, "models") == set()
    assert users(CELERY_AND_REDIS, "worker"), "they are found where they are"


def test_only_the_engine_and_the_preparation_import_openvino() -> None:
    importers = users(["openvino"], *PACKAGES)
    assert {Path("models/engine/engine.py"), CORE} <= importers
    assert importers - {Path("models/engine/engine.py"), CORE} <= set(sources("models/prepare"))


def test_there_is_one_openvino_core_a_process_since_a_second_one_that_goes_leaves_a_crash() -> None:
    makers = {
        source for source in sources(*PACKAGES, "tests") if "ov." + "Core()" in (ROOT / source).read_text("utf-8")
    }
    assert makers == {CORE}


def test_only_the_preparation_imports_what_its_extra_installs() -> None:
    importers = users(["torch", "transformers", "nncf", "optimum"], *PACKAGES)
    assert importers
    assert importers <= set(sources("models/prepare"))


@pytest.mark.parametrize("statement", ["import worker", "import worker.pool, worker.intake.consumer"])
def test_a_workers_parent_loads_no_inference_library(statement: str, tmp_path: Path) -> None:
    code = f"import sys; {statement}; print([m for m in ('openvino', 'tokenizers', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "[]\n"


def test_no_file_is_longer_than_the_limit() -> None:
    files = sources(*PACKAGES, "tests", "examples", "benchmarks")
    lengths = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in files}
    assert len(lengths) > 60
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}
