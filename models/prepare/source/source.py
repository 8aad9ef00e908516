"""Where a model comes from: a directory here, or a repository of the Hugging Face Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from models.errors import PreparationError

__all__ = ["Source", "is_hub_id", "locate"]

#: As ``huggingface_hub`` allows them, with or without an owner.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class Source:
    """Files to prepare a model from.

    Attributes:
        directory: where they are.
        name: what the manifest says of where they come from; the hub id, or the directory's name.
        revision: the hub's commit; empty for a directory.
    """

    directory: Path
    name: str
    revision: str = ""


def is_hub_id(text: str) -> bool:
    """Whether ``text`` names a repository: no directory of that name is here, and it is no path by its form."""
    return not Path(text).expanduser().is_dir() and _HUB_ID.fullmatch(text) is not None


def locate(text: str, revision: str | None) -> Source:
    """Find a directory, or fetch what is needed of a repository.

    Args:
        text: a path or a hub id, such as ``typeform/distilbert-base-uncased-mnli``.
        revision: branch, tag or commit of the repository; its main branch if None.

    Raises:
        PreparationError: it is neither, or a revision of a directory is asked for.
        HubError: the hub does not have it or does not answer, and it is not cached.
    """
    directory = Path(text).expanduser()
    if directory.is_dir():
        if revision is not None:
            raise PreparationError(f"{directory} is a directory: --revision is for repositories of a hub")
        return Source(directory, directory.resolve().name)
    if not is_hub_id(text):
        raise PreparationError(f"{text} is no directory, and no hub id (OWNER/NAME) by its form")
    from models.prepare.source.hub import fetch

    return fetch(text, revision)
