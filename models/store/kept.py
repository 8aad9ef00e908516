"""Copies of the models that workers serve, which stay as they are when a model is prepared anew.

A worker loads its models from these copies, so a process that it starts days later answers as the others do. Workers of
one host share them. A copy is named for its manifest, which has the checksum of every file, so it never changes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from models.errors import CorruptModelError
from models.store.contents import MANIFEST_NAME
from models.store.directory_lock import locked_directory
from models.store.in_use import is_in_use
from models.store.lookup import StoredModel
from models.store.manifest import Manifest, digest

__all__ = ["delete_kept", "keep"]

_KEY_CHARACTERS = 12
#: A copy that nobody uses is left alone for this long: whoever asked for it may be about to announce its use.
_GRACE_S = 600.0


def keep(model: StoredModel, root: Path) -> StoredModel:
    """Copy a model, unless there is a copy, and delete other copies that have not been used for a while.

    Args:
        model: a verified model.
        root: directory of the copies, on a local file system.

    Returns:
        The copy.

    Raises:
        OSError: it cannot be copied.
    """
    root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    root.mkdir(exist_ok=True, mode=0o700)
    target = root / f"{model.name}-{digest(model.directory / MANIFEST_NAME)[:_KEY_CHARACTERS]}"
    copy = StoredModel(target, model.manifest)
    with locked_directory(root):
        _delete_unused(root, target)
        if _is_intact(copy):
            os.utime(target)
            return copy
        shutil.rmtree(target, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(dir=root, prefix="."))
        try:
            for name in (*model.manifest.files, MANIFEST_NAME):
                shutil.copyfile(model.directory / name, temporary / name)
            temporary.rename(target)
        except OSError:
            # The disk may be full.
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return copy


def delete_kept(copy: StoredModel) -> bool:
    """Delete a copy that was replaced, unless another worker uses it.

    Returns:
        Whether nothing else here is of its revision, so that what was compiled from it is not needed any more.
    """
    root = copy.directory.parent
    with contextlib.suppress(OSError), locked_directory(root):
        if not is_in_use(copy.directory):
            shutil.rmtree(copy.directory, ignore_errors=True)
    return copy.manifest.revision not in {_revision(other) for other in root.glob("[!.]*")}


def _delete_unused(root: Path, needed: Path) -> None:
    oldest_s = time.time() - _GRACE_S
    for path in root.iterdir():
        # Only the holder of the lock writes: a hidden directory is what a killed process left behind.
        with contextlib.suppress(OSError):
            is_unused = path.stat().st_mtime < oldest_s and not is_in_use(path)
            if path.name.startswith(".") or (path != needed and is_unused):
                shutil.rmtree(path)


def _is_intact(copy: StoredModel) -> bool:
    try:
        copy.verify()
        return Manifest.read(copy.directory) == copy.manifest
    except CorruptModelError:
        return False


def _revision(directory: Path) -> str | None:
    try:
        return Manifest.read(directory).revision
    except CorruptModelError:
        return None
