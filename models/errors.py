"""What can be wrong with a model on disk."""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "CorruptModelError",
    "InvalidNameError",
    "ModelError",
    "ModelNotFoundError",
    "NotRemovedError",
    "PreparationError",
    "QueueError",
    "WrongDataError",
]


class ModelError(Exception):
    """Base of the errors of this package."""


class InvalidNameError(ModelError):
    """No model can be called this."""


class ModelNotFoundError(ModelError):
    """No prepared model has this name."""

    def __init__(self, name: str, places: list[Path]) -> None:
        looked = ", ".join(str(place) for place in places)
        super().__init__(
            f"there is no prepared model {name!r} in {looked}. "
            f"Make one with: python -m models prepare PATH_OF_CHECKPOINT --as {name} (needs pip install "
            f"'celeriac[prepare]'); the bundled models are in a checkout of the project, not in its wheel"
        )


class CorruptModelError(ModelError):
    """A file of a prepared model is missing, changed or unreadable."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}; prepare the model again or restore the file")
        self.path = path


class NotRemovedError(ModelError):
    """A model is not removed."""


class PreparationError(ModelError):
    """A checkpoint cannot be prepared."""


class QueueError(ModelError):
    """A running worker did not answer."""


class WrongDataError(ModelError):
    """A line of an evaluation or calibration file does not hold what the task needs."""
