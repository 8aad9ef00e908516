"""Copies of served models stay as they are, and go when nobody needs them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from models.store import CONFIG_NAME, StoredModel, find
from models.store.in_use import announce_use
from models.store.kept import delete_kept, keep


@pytest.fixture
def mine(tmp_path: Path, sentiment: StoredModel) -> StoredModel:
    """A prepared model."""
    directory = Path(shutil.copytree(sentiment.directory, tmp_path / "models" / "mine"))
    sentiment.manifest.model_copy(update={"name": "mine"}).write(directory)
    return find("mine", directory.parent)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "compiled" / "models"


def test_a_copy_has_what_is_served_and_is_made_once(mine: StoredModel, root: Path) -> None:
    copy = keep(mine, root)
    copy.verify()
    assert copy.directory.parent == root
    assert copy.manifest == mine.manifest
    inode = copy.directory.stat().st_ino

    (mine.directory / CONFIG_NAME).write_text("{}")
    assert keep(mine, root).directory.stat().st_ino == inode
    copy.verify()


def test_a_damaged_copy_is_made_again(mine: StoredModel, root: Path) -> None:
    copy = keep(mine, root)
    (copy.directory / CONFIG_NAME).write_text("{}")

    keep(mine, root).verify()


def test_what_is_old_and_in_no_use_goes_and_so_does_what_a_killed_process_left(mine: StoredModel, root: Path) -> None:
    copy = keep(mine, root)
    used, unused, fresh, abandoned = (root / name for name in ("used", "unused", "fresh", ".abandoned"))
    for directory in (used, unused, fresh, abandoned):
        shutil.copytree(copy.directory, directory)
    for directory in (used, unused, copy.directory):
        os.utime(directory, (0, 0))

    with announce_use(used) or pytest.fail("there are no locks"):
        keep(mine, root)

    assert {path.name for path in root.iterdir()} == {copy.directory.name, "used", "fresh"}


def test_a_copy_that_was_replaced_stays_while_another_worker_uses_it(mine: StoredModel, root: Path) -> None:
    copy = keep(mine, root)
    with announce_use(copy.directory) or pytest.fail("there are no locks"):
        assert not delete_kept(copy)
        copy.verify()
    assert delete_kept(copy)
    assert not copy.directory.exists()


def test_what_another_copy_of_the_same_revision_needs_is_still_needed(mine: StoredModel, root: Path) -> None:
    copy = keep(mine, root)
    shutil.copytree(copy.directory, root / "the-same-under-another-name")

    assert not delete_kept(copy)
    assert not copy.directory.exists()
