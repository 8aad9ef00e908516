"""The modules of the four packages and what each imports, read from their source."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("worker", "producer", "config", "models")


def sources(*directories: str) -> list[Path]:
    """The Python files of some directories, as paths in the project."""
    return sorted(path.relative_to(ROOT) for name in directories for path in (ROOT / name).rglob("*.py"))


def tree_of(source: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse((ROOT / source).read_text(encoding="utf-8"))


def imports(source: Path) -> Iterator[str]:
    """Full names of what a file imports, inside functions too."""
    for node in ast.walk(tree_of(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}:{node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(name: str, packages: Iterable[str]) -> bool:
    """Whether a name is one of some packages, or inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def importers(packages: Iterable[str], *directories: str) -> set[Path]:
    """The files that import any of some packages."""
    return {source for source in sources(*directories) if any(is_in(name, packages) for name in imports(source))}


def module_of(source: Path) -> str:
    """The name of the module that a file is."""
    parts = source.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def module_graph() -> dict[str, set[str]]:
    """For each module of the four packages, the modules of ours that it imports."""
    modules = {module_of(source): source for source in sources(*PACKAGES)}
    graph: dict[str, set[str]] = {}
    for module, source in modules.items():
        targets = (name if name in modules else name.rpartition(".")[0] for name in imports(source))
        graph[module] = {target for target in targets if target in modules and target != module}
    return graph


def room_of(module: str) -> str:
    """The room of a module: the folder or file in its package, ``worker.pool`` for ``worker.pool.batch``."""
    return ".".join(module.split(".")[:2])


def room_graph() -> dict[str, set[str]]:
    """For each room, the other rooms that it imports from."""
    graph: dict[str, set[str]] = {}
    for module, targets in module_graph().items():
        room = room_of(module)
        graph.setdefault(room, set()).update({room_of(target) for target in targets} - {room})
    return graph


def find_circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """The names along a circle of imports; empty if there is none."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for target in sorted(graph.get(name, ())):
            if circle := walk(target, [*path, name]):
                return circle
        done.add(name)
        return []

    return next((circle for name in sorted(graph) if (circle := walk(name, []))), [])
