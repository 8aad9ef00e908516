"""Where a model is built, and how it gets to its target: in one step, even if others prepare the same model.

A workspace is a hidden directory beside the target, on the same file system. The process that works in it holds a lock
on it, so the next process can tell what a killed one left behind and delete it.
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
from models.prepare.swap import swap_directories
from models.store.directory_lock import locked_directory

__all__ = ["move_to_target", "open_workspace"]


@contextmanager
def open_workspace(target: Path) -> Iterator[Path]:
    """An empty directory beside ``target``, deleted with its contents at the end.

    Args:
        target: the directory that will be made.

    Raises:
        PreparationError: the parent directory of ``target`` cannot be created.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "; this user has no home directory" if _is_in_missing_home(target) else ""
        raise PreparationError(
            f"{target.parent} cannot be created: {error.strerror}{hint}. "
            "Set CELERIAC_MODEL_DIR, or use --models-dir, to keep prepared models elsewhere"
        ) from None
    prefix = f".{target.name}-"
    with locked_directory(target.parent):
        _delete_abandoned(target.parent, prefix)
        workspace = Path(tempfile.mkdtemp(dir=target.parent, prefix=prefix))
        lock = _lock(workspace)
    try:
        yield workspace
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
        os.close(lock)


def move_to_target(directory: Path, target: Path) -> None:
    """Move a finished directory to ``target``. An existing one is replaced without ever being absent.

    Args:
        directory: in a workspace of ``target``.
        target: where it goes.

    Raises:
        OSError: it cannot be moved.
    """
    with locked_directory(target.parent):
        if not target.exists():
            directory.rename(target)
        elif not swap_directories(directory, target):
            old = directory.parent / "old"
            target.rename(old)
            directory.rename(target)


def _is_in_missing_home(path: Path) -> bool:
    try:
        home = Path.home()
    except RuntimeError:
        return False
    return path.is_relative_to(home) and not home.is_dir()


def _lock(workspace: Path) -> int:
    descriptor = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _delete_abandoned(parent: Path, prefix: str) -> None:
    for workspace in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            descriptor = _lock(workspace)
            shutil.rmtree(workspace, ignore_errors=True)
            os.close(descriptor)
