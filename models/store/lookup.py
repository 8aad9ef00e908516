"""From a model's name to a directory with a manifest: bundled, prepared here, or a path."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from models.errors import CorruptModelError, ModelNotFoundError, NotRemovedError
from models.store.contents import CONFIG_NAME, MANIFEST_NAME, MODEL_NAME, TOKENIZER_NAME
from models.store.manifest import Manifest
from models.store.names import check_name, is_path

__all__ = [
    "BUNDLED_DIRECTORY",
    "CONFIG_NAME",
    "DEFAULT_MODELS_DIR",
    "MODEL_NAME",
    "TOKENIZER_NAME",
    "ModelEntry",
    "StoredModel",
    "entries",
    "find",
    "removable",
    "remove",
]

DEFAULT_MODELS_DIR = Path("~/.cache/celeriac/models")
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
        """Whether it is one of the project's own."""
        return self.directory.resolve().parent == BUNDLED_DIRECTORY.resolve()

    def verify(self) -> None:
        """Check what the directory holds, and every file against its checksum.

        Raises:
            CorruptModelError: naming the first file that differs, is missing, or should not be there.
        """
        self.manifest.verify(self.directory)


@dataclass(frozen=True)
class ModelEntry:
    """A directory of the store: a model, or what is wrong with its manifest.

    Attributes:
        name: the directory's, by which it is found.
        is_hidden: whether :func:`find` gives another one of this name.
    """

    name: str
    directory: Path
    found: StoredModel | CorruptModelError
    is_hidden: bool = False


def find(name: str, models_dir: Path) -> StoredModel:
    """Find a prepared model.

    Args:
        name: a bundled model, one prepared under ``models_dir``, or the path of a prepared directory.
        models_dir: where prepared models are kept; one there goes before a bundled one of the same name.

    Raises:
        InvalidNameError: no model can be called this.
        ModelNotFoundError: no directory of that name has a manifest.
        CorruptModelError: it has one that cannot be read, or that is another model's.
    """
    if is_path(name):
        place = Path(name).expanduser()
        if not (place / MANIFEST_NAME).is_file():
            raise ModelNotFoundError(name, [place.parent])
        return StoredModel(place, Manifest.read(place))
    check_name(name)
    for parent in (models_dir, BUNDLED_DIRECTORY):
        if (parent / name / MANIFEST_NAME).is_file():
            return _read(parent / name)
    raise ModelNotFoundError(name, [models_dir, BUNDLED_DIRECTORY])


def entries(models_dir: Path) -> list[ModelEntry]:
    """Every model under ``models_dir``, then the bundled ones, each by name; broken ones too."""
    cached = _names(models_dir)
    bundled = [] if _is_same(models_dir, BUNDLED_DIRECTORY) else _names(BUNDLED_DIRECTORY)
    return [_entry(models_dir / name) for name in cached] + [
        _entry(BUNDLED_DIRECTORY / name, is_hidden=name in cached) for name in bundled
    ]


def remove(name: str, models_dir: Path) -> Path:
    """Delete a model that was prepared under ``models_dir``; in one step for whoever looks for it meanwhile.

    Returns:
        Its directory that was.

    Raises:
        InvalidNameError: no model can be called this, or it is a path.
        ModelNotFoundError: there is none of this name.
        NotRemovedError: it is a bundled one, or may not be deleted.
    """
    directory = removable(name, models_dir)
    try:
        with tempfile.TemporaryDirectory(
            dir=models_dir, prefix=f".{name}-removed-", ignore_cleanup_errors=True
        ) as room:
            shutil.move(directory, Path(room) / name)
    except OSError as error:
        raise NotRemovedError(f"{directory} cannot be removed: {error.strerror}") from None
    return directory


def removable(name: str, models_dir: Path) -> Path:
    """The directory that :func:`remove` would delete.

    Raises:
        InvalidNameError, ModelNotFoundError, NotRemovedError: as :func:`remove`.
    """
    check_name(name)
    directory = models_dir / name
    is_bundled = (BUNDLED_DIRECTORY / name / MANIFEST_NAME).is_file()
    if (directory / MANIFEST_NAME).is_file() and not _is_same(models_dir, BUNDLED_DIRECTORY):
        return directory
    if is_bundled:
        raise NotRemovedError(
            f"{name} is bundled with the project and stays; which models are served is CELERIAC_MODELS"
        )
    raise ModelNotFoundError(name, [models_dir])


def _read(directory: Path) -> StoredModel:
    manifest = Manifest.read(directory)
    if manifest.name != directory.name:
        problem = f"is of the model {manifest.name!r}, and not of {directory.name!r}"
        raise CorruptModelError(directory / MANIFEST_NAME, problem)
    return StoredModel(directory, manifest)


def _entry(directory: Path, *, is_hidden: bool = False) -> ModelEntry:
    try:
        found: StoredModel | CorruptModelError = _read(directory)
    except CorruptModelError as error:
        found = error
    return ModelEntry(directory.name, directory, found, is_hidden)


def _names(parent: Path) -> list[str]:
    """Directories with a manifest; what begins with a dot is being prepared or removed."""
    if not parent.is_dir():
        return []
    return sorted(path.parent.name for path in parent.glob(f"[!.]*/{MANIFEST_NAME}"))


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
