"""Where a model is made, and how it gets to its place: in one step, whoever else is preparing the same.

A room is a hidden directory beside the target, on the same file system. The process that works in it holds a lock
on it, so that what a killed process left behind is found and cleared by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import PreparationError
from models.prepare.exchange import exchange
from models.store.home import NO_HOME

__all__ = ["put_in_place", "working_room"]


@contextmanager
def working_room(target: Path) -> Iterator[Path]:
    """An empty directory beside ``target``, which goes with everything in it.

    Raises:
        PreparationError: the directory of ``target`` cannot be made.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "; this user has no home directory" if target.is_relative_to(NO_HOME) else ""
        raise PreparationError(
            f"{target.parent} cannot be made: {error.strerror}{hint}. "
            "CELERIAC_MODEL_DIR, or --models-dir, says where prepared models are kept"
        ) from None
    prefix = f".{target.name}-"
    with _locked(target.parent):
        _clear_abandoned(target.parent, prefix)
        room = Path(tempfile.mkdtemp(dir=target.parent, prefix=prefix))
        lock = _lock(room)
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)
        os.close(lock)


def put_in_place(made: Path, target: Path) -> None:
    """Move a finished directory to ``target``; one that is there is replaced, without a moment in which none is."""
    with _locked(target.parent):
        if not target.exists():
            made.rename(target)
        elif not exchange(made, target):
            old = made.parent / "old"
            target.rename(old)
            made.rename(target)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Alone among those that prepare models in ``directory``; for moments only."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock(room: Path) -> int:
    descriptor = os.open(room, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _clear_abandoned(parent: Path, prefix: str) -> None:
    for room in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            descriptor = _lock(room)
            shutil.rmtree(room, ignore_errors=True)
            os.close(descriptor)
