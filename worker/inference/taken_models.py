"""The revisions of models that a worker has taken, and what keeps them as they are while it serves them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from config import Settings
from models.engine.compiled_cache import delete_compiled
from models.errors import CorruptModelError
from models.store import StoredModel
from models.store.in_use import announce_use
from models.store.kept import delete_kept, keep
from models.store.manifest import Manifest

__all__ = ["TakenModel", "take", "take_kept"]


@dataclass(frozen=True)
class TakenModel:
    """One revision of a model that a worker serves.

    Attributes:
        model: what its processes load.
        source: the directory in which the model is prepared.
        uses: locked manifests, from which others see that the model and its copy are in use.
    """

    model: StoredModel
    source: Path
    uses: tuple[IO[bytes], ...]

    @property
    def revision(self) -> str:
        """The revision that the worker has taken."""
        return self.model.manifest.revision

    @property
    def is_copy(self) -> bool:
        """Whether processes load a copy, which stays when the model is prepared anew."""
        return self.model.directory != self.source

    def present(self) -> StoredModel:
        """What a process that starts now loads: this revision, or, if it is nowhere, what is in the model's directory.

        Raises:
            CorruptModelError: there is nothing in the model's directory.
        """
        for directory in (self.model.directory, self.source):
            with contextlib.suppress(CorruptModelError):
                if Manifest.read(directory) == self.model.manifest:
                    return StoredModel(directory, self.model.manifest)
        return StoredModel(self.source, Manifest.read(self.source))

    def can_be_loaded(self) -> bool:
        """Whether a process that starts now would load this revision."""
        try:
            return self.present().manifest == self.model.manifest
        except CorruptModelError:
            return False

    def close(self) -> None:
        """End the use by this process. Processes that inherited the locks hold them as long as they live."""
        for use in self.uses:
            use.close()

    def delete_copy(self, compiled_dir: Path) -> None:
        """Delete the copy and what was compiled from it, unless another worker on this host uses it."""
        if self.is_copy and delete_kept(self.model):
            delete_compiled(compiled_dir, self.revision)


def take(model: StoredModel, settings: Settings) -> tuple[TakenModel, OSError | None]:
    """Copy a verified model beside the compiled ones, and announce its use.

    A bundled model is used where it is. So is one for which the cache is off, or that cannot be copied.

    Returns:
        The model, and why it could not be copied.
    """
    problem, served = None, model
    if settings.engine.cache and not model.is_bundled:
        try:
            served = keep(model, settings.compiled_dir / "models")
        except OSError as error:
            problem = error
    return take_kept(served, model.directory), problem


def take_kept(served: StoredModel, source: Path) -> TakenModel:
    """Announce the use of a model.

    Args:
        served: what processes load.
        source: the directory in which the model is prepared.
    """
    return TakenModel(served, source, _announce({source, served.directory}))


def _announce(directories: Iterable[Path]) -> tuple[IO[bytes], ...]:
    uses = map(announce_use, directories)
    return tuple(use for use in uses if use is not None)
