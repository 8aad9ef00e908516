"""Makes sure that a process imports nothing of this project but the pool."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

_PACKAGES = frozenset({"models", "config", "producer"})


class _Guard(MetaPathFinder):
    def find_spec(self, fullname: str, *_: object) -> None:
        package, dot, rest = fullname.partition(".")
        if package in _PACKAGES or (package == "worker" and dot and rest.partition(".")[0] != "pool"):
            raise ImportError(f"{fullname} must not be imported")


def refuse_all_but_the_pool() -> None:
    """Let imports of this project's other packages fail from now on, in this process and those that it forks."""
    sys.meta_path.insert(0, _Guard())
