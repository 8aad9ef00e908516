"""Finding the files of a model: in a local directory, or on the hub."""

from __future__ import annotations

from pathlib import Path

from models.errors import PreparationError
from models.prepare.source.source import Check, Source, is_hub_id

__all__ = ["locate"]


def locate(text: str, revision: str | None, check: Check | None = None) -> Source:
    """Find a local directory, or fetch the necessary files of a repository.

    Args:
        text: a path, or a hub id such as ``typeform/distilbert-base-uncased-mnli``.
        revision: branch, tag or commit of the repository; its main branch if None.
        check: raises an error if a repository is not worth its download; given a directory with its ``config.json``
            alone, and the names of all its files.

    Raises:
        PreparationError: ``text`` is neither, or names a directory although a revision is given.
        HubError: the files are not cached, and the hub does not have them or does not answer.
    """
    directory = Path(text).expanduser()
    if directory.is_dir():
        if revision is not None:
            raise PreparationError(f"{directory} is a directory: --revision is for repositories on a hub")
        return Source(directory, directory.resolve().name)
    if not is_hub_id(text):
        raise PreparationError(f"{text} is neither a directory nor a hub id (OWNER/NAME)")
    from models.prepare.source.hub import fetch

    return fetch(text, revision, check)
