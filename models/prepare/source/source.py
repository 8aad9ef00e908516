"""Where a model comes from: a local directory, or a repository of the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

__all__ = ["Check", "Source", "is_hub_id"]

#: Looks at a directory with a model's ``config.json``, and at the names of all files of the model.
Check: TypeAlias = Callable[[Path, Collection[str]], object]

#: As ``huggingface_hub`` allows them, with or without an owner.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class Source:
    """The files that a model is prepared from.

    Attributes:
        directory: where they are.
        name: where they come from: the hub id, or the directory's name.
        revision: commit of the hub's repository; empty for a local directory.
    """

    directory: Path
    name: str
    revision: str = ""


def is_hub_id(text: str) -> bool:
    """Whether ``text`` names a repository: it has the form of a hub id, and no local directory has that path."""
    return not Path(text).expanduser().is_dir() and _HUB_ID.fullmatch(text) is not None
