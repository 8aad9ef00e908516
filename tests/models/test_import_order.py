"""The folders of ``models`` import each other in one direction only, and no modules import each other."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import models

ROOT = Path(models.__file__).parents[1]
#: A module may import those of its own folder and of the folders before it; ``models`` itself has errors and progress.
FOLDERS = [
    "models",
    "models.store",
    "models.engine",
    "models.pipelines",
    "models.evaluation",
    "models.prepare.source",
    "models.prepare.graph",
    "models.prepare.quantize",
    "models.prepare.check",
    "models.prepare",
    "models.commands",
]
#: The command line imports from every folder, and nothing imports it.
TOP = "models.__main__"


def modules() -> dict[str, Path]:
    """The files of the package by the name of their module; a package is named like its folder."""
    paths = [path.relative_to(ROOT) for path in (ROOT / "models").rglob("*.py")]
    return {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports_of(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the package that a file imports, in functions and for type checking too."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {member if member in known else node.module for member in members}
    return {name for name in found if name in known}


def folder_of(path: Path) -> str:
    return ".".join(path.parent.parts)


def test_no_modules_import_each_other_directly_or_through_others() -> None:
    known = modules()
    order = list(TopologicalSorter({name: imports_of(path, known) for name, path in known.items()}).static_order())
    assert set(order) == known.keys()


def test_folders_import_only_those_before_them() -> None:
    known = modules()
    assert {folder_of(path) for path in known.values()} == set(FOLDERS)
    backwards = {
        (name, imported)
        for name, path in known.items()
        for imported in imports_of(path, known)
        if FOLDERS.index(folder_of(known[imported])) > FOLDERS.index(folder_of(path)) and name != TOP
    }
    assert backwards == set()
    assert not [name for name, path in known.items() if TOP in imports_of(path, known)]
