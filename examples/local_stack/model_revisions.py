"""Revisions of a bundled model whose labels differ, so that an answer tells which of them gave it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from models.prepare.workspace import move_to_target, open_workspace
from models.store import BUNDLED_DIRECTORY, CONFIG_NAME, StoredModel
from models.store.manifest import Manifest, record_files

__all__ = ["ModelRevisions"]


class ModelRevisions:
    """Prepares revisions of one model, each in the place of the one before, as ``python -m models prepare`` does.

    Args:
        models_dir: directory of the prepared models.
        name: the model's name.
        like: the bundled model that it is made from.
    """

    def __init__(self, models_dir: Path, name: str = "mine", like: str = "sentiment") -> None:
        self.directory = models_dir / name
        self._original = StoredModel(BUNDLED_DIRECTORY / like, Manifest.read(BUNDLED_DIRECTORY / like))

    def prepare(self, mark: str, change: Callable[[Path], object] = lambda _: None) -> str:
        """Prepare a revision whose labels begin with ``mark``.

        Args:
            mark: such as ``A``, for the labels ``A:NEGATIVE`` and ``A:POSITIVE``.
            change: changes the files of the directory before their checksums are taken.

        Returns:
            The revision.
        """
        with open_workspace(self.directory) as workspace:
            made = Path(shutil.copytree(self._original.directory, workspace / "made"))
            config = json.loads((made / CONFIG_NAME).read_bytes())
            config["id2label"] = {index: f"{mark}:{label}" for index, label in config["id2label"].items()}
            (made / CONFIG_NAME).write_text(json.dumps(config), encoding="utf-8")
            change(made)
            files = record_files(made, sorted(self._original.manifest.files))
            manifest = self._original.manifest.model_copy(update={"name": self.directory.name, "files": files})
            manifest.write(made)
            move_to_target(made, self.directory)
        return manifest.revision
