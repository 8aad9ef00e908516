"""Imports go one way, state is handed on, names have one meaning, and files stay short."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.imports import (
    PACKAGES,
    ROOT,
    find_circle,
    importers,
    imports,
    is_in,
    module_graph,
    room_graph,
    sources,
    tree_of,
)

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
#: The floors of the worker, from the ground up: a room imports only from those below it.
WORKER_FLOORS = (
    {"worker.cores", "worker.pool", "worker.results", "worker.transport", "worker.redis_servers"},
    {"worker.inference", "worker.workload", "worker.celery_options", "worker.commands"},
    {"worker.observability", "worker.exchange"},
    {"worker.runtime"},
    {"worker.intake", "worker.scaling", "worker.control", "worker.tasks"},
    {"worker.endpoints"},
    {"worker.boot"},
    {"worker.celery_app", "worker.__main__"},
    {"worker"},
)
#: Rooms that serve any Celery app.
GENERIC = ("worker.pool", "worker.transport")
CELERY_AND_REDIS = ("celery", "kombu", "billiard", "vine", "redis")


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
    assert importers([".".join(command.with_suffix("").parts)], *PACKAGES) == set()


def test_the_worker_imports_only_downwards_from_floor_to_floor() -> None:
    floor_of = {room: floor for floor, rooms in enumerate(WORKER_FLOORS) for room in rooms}
    graph = {room: targets for room, targets in room_graph().items() if is_in(room, ["worker"])}
    assert graph.keys() == floor_of.keys()
    upwards = [
        f"{room} -> {target}"
        for room, targets in graph.items()
        for target in targets
        if target in floor_of and floor_of[target] >= floor_of[room]
    ]
    assert upwards == []


@pytest.mark.parametrize("graph", [module_graph(), room_graph()], ids=["modules", "rooms"])
def test_there_is_no_circle_of_imports(graph: dict[str, set[str]]) -> None:
    assert len(graph) > 20
    assert find_circle(graph) == []


def test_a_circle_would_be_found() -> None:
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert find_circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("room", GENERIC)
def test_the_pool_and_the_transport_import_nothing_of_ours_but_themselves(room: str) -> None:
    graph = module_graph()
    members = [module for module in graph if is_in(module, [room])]
    assert len(members) > 5
    for module in members:
        assert not {target for target in graph[module] if not is_in(target, [room])}, module


def test_no_module_keeps_state_in_a_global() -> None:
    rebound = [
        f"{source}:{node.lineno}"
        for source in sources(*PACKAGES)
        for node in ast.walk(tree_of(source))
        if isinstance(node, ast.Global)
    ]
    assert rebound == []


def test_the_app_is_the_only_object_of_celerys_that_carries_something_of_ours() -> None:
    hung = [
        f"{source}:{node.lineno} {node.attr}"
        for source in sources("worker")
        for node in ast.walk(tree_of(source))
        if isinstance(node, ast.Attribute) and node.attr.startswith("celeriac")
    ]
    assert hung == []


def test_a_public_class_name_has_one_meaning() -> None:
    places = defaultdict(list)
    for source in sources(*PACKAGES):
        for node in tree_of(source).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(source))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_models_know_nothing_of_celery_and_redis() -> None:
    assert importers(CELERY_AND_REDIS, "models") == set()
    assert importers(CELERY_AND_REDIS, "worker"), "they are found where they are"


def test_only_the_engine_and_the_preparation_import_openvino() -> None:
    found = importers(["openvino"], *PACKAGES)
    assert {Path("models/engine/compilation.py"), CORE} <= found
    assert found <= {*sources("models/engine"), *sources("models/prepare")}


def test_there_is_one_openvino_core_a_process_since_a_second_one_that_goes_leaves_a_crash() -> None:
    makers = {
        source for source in sources(*PACKAGES, "tests") if "ov." + "Core()" in (ROOT / source).read_text("utf-8")
    }
    assert makers == {CORE}


def test_only_the_preparation_imports_what_its_extra_installs() -> None:
    found = importers(["torch", "transformers", "nncf", "optimum"], *PACKAGES)
    assert found
    assert found <= set(sources("models/prepare"))


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
