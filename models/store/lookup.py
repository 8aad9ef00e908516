"""Finding models by name or path, listing them and removing them."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from models.errors import CorruptModelError, ModelNotFoundError, NotRemovedError
from models.store.contents import MANIFEST_NAME
from models.store.manifest import Manifest
from models.store.names import check_name, is_path

__all__ = [
    "BUNDLED_DIRECTORY",
    "ModelEntry",
    "StoredModel",
    "find",
    "list_entries",
    "places",
    "removable_directory",
    "remove",
]

BUNDLED_DIRECTORY = Path(__file__).parents[1] / "bundled"


@dataclass(frozen=True)
class StoredModel:
    """A prepared model on disk."""

    directory: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """The name that requests use."""
        return self.manifest.name

    @property
    def is_bundled(self) -> bool:
        """Whether the model is bundled with the project."""
        return self.directory.resolve().parent == BUNDLED_DIRECTORY.resolve()

    def verify(self) -> None:
        """Check the contents of the directory, and every file against its size and checksum.

        Raises:
            CorruptModelError: naming the first file that differs, is missing, or should not be there.
        """
        self.manifest.verify(self.directory)


@dataclass(frozen=True)
class ModelEntry:
    """One directory in the list of models.

    Attributes:
        name: the name of the directory, by which the model is found.
        directory: its path.
        model: the model, or what is wrong with its manifest.
        is_hidden: whether :func:`find` returns another model of this name.
    """

    name: str
    directory: Path
    model: StoredModel | CorruptModelError
    is_hidden: bool = False


def find(name: str, models_dir: Path) -> StoredModel:
    """Find a prepared model.

    Args:
        name: the name of a model, or the path of a prepared directory.
        models_dir: directory of the prepared models; one there takes precedence over a bundled one of the same name.

    Raises:
        InvalidNameError: the name is not valid.
        ModelNotFoundError: no directory of that name has a manifest.
        CorruptModelError: the manifest cannot be read, or belongs to another model.
    """
    candidates = places(name, models_dir)
    directory = next((place for place in candidates if (place / MANIFEST_NAME).is_file()), None)
    if directory is None:
        raise ModelNotFoundError(name, [place.parent for place in candidates])
    return StoredModel(directory, Manifest.read(directory)) if is_path(name) else _read(directory)


def places(name: str, models_dir: Path) -> list[Path]:
    """The directories in which :func:`find` looks for a model, the first one first; they need not exist.

    Raises:
        InvalidNameError: the name is not valid.
    """
    if is_path(name):
        return [Path(name).expanduser()]
    check_name(name)
    return [models_dir / name, BUNDLED_DIRECTORY / name]


def list_entries(models_dir: Path) -> list[ModelEntry]:
    """List the models under ``models_dir``, then the bundled ones, each sorted by name. Broken models are included."""
    prepared = _names(models_dir)
    bundled = [] if _is_same(models_dir, BUNDLED_DIRECTORY) else _names(BUNDLED_DIRECTORY)
    return [_entry(models_dir / name) for name in prepared] + [
        _entry(BUNDLED_DIRECTORY / name, is_hidden=name in prepared) for name in bundled
    ]


def remove(name: str, models_dir: Path) -> Path:
    """Delete a model under ``models_dir``. It disappears in one step for whoever looks it up meanwhile.

    Returns:
        The deleted directory.

    Raises:
        InvalidNameError: the name is not valid, or is a path.
        ModelNotFoundError: there is no model of this name.
        NotRemovedError: the model is bundled, or the directory cannot be deleted.
    """
    directory = removable_directory(name, models_dir)
    try:
        with tempfile.TemporaryDirectory(
            dir=models_dir, prefix=f".{name}-removed-", ignore_cleanup_errors=True
        ) as trash:
            shutil.move(directory, Path(trash) / name)
    except OSError as error:
        raise NotRemovedError(f"{directory} cannot be removed: {error.strerror}") from None
    return directory


def removable_directory(name: str, models_dir: Path) -> Path:
    """The directory that :func:`remove` would delete.

    Raises:
        InvalidNameError: the name is not valid, or is a path.
        ModelNotFoundError: there is no model of this name.
        NotRemovedError: the model is bundled.
    """
    check_name(name)
    directory = models_dir / name
    is_bundled = (BUNDLED_DIRECTORY / name / MANIFEST_NAME).is_file()
    if (directory / MANIFEST_NAME).is_file() and not _is_same(models_dir, BUNDLED_DIRECTORY):
        return directory
    if is_bundled:
        raise NotRemovedError(
            f"{name} is bundled with the project and cannot be removed; CELERIAC_MODELS selects the served models"
        )
    raise ModelNotFoundError(name, [models_dir])


def _read(directory: Path) -> StoredModel:
    manifest = Manifest.read(directory)
    if manifest.name != directory.name:
        problem = f"belongs to the model {manifest.name!r}, not to {directory.name!r}"
        raise CorruptModelError(directory / MANIFEST_NAME, problem)
    return StoredModel(directory, manifest)


def _entry(directory: Path, *, is_hidden: bool = False) -> ModelEntry:
    try:
        model: StoredModel | CorruptModelError = _read(directory)
    except CorruptModelError as error:
        model = error
    return ModelEntry(directory.name, directory, model, is_hidden)


def _names(parent: Path) -> list[str]:
    """Names of the directories with a manifest. Hidden ones are being prepared or removed."""
    if not parent.is_dir():
        return []
    return sorted(path.parent.name for path in parent.glob(f"[!.]*/{MANIFEST_NAME}"))


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
