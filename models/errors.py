"""What can be wrong with a model on disk."""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "AccuracyError",
    "CorruptModelError",
    "HubError",
    "InvalidNameError",
    "ModelError",
    "ModelNotFoundError",
    "NotRemovedError",
    "PreparationError",
    "QueueError",
    "TokenizerError",
    "UnsafeWeightsError",
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


class AccuracyError(PreparationError):
    """No recipe loses as little accuracy as was asked for."""


class HubError(PreparationError):
    """A repository of the hub could not be fetched."""

    def __init__(self, hub_id: str, problem: str) -> None:
        super().__init__(f"{hub_id} {problem}")
        self.hub_id = hub_id


class TokenizerError(PreparationError):
    """No ``tokenizer.json`` gives the ids that the model's own tokenizer gives."""


class UnsafeWeightsError(PreparationError):
    """A pickled checkpoint holds something else than tensors."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path} is refused: it is a pickle with more than tensors in it, which could run anything ({problem}). "
            "Nothing of it has run; ask its publisher for safetensors"
        )
        self.path = path


class QueueError(ModelError):
    """A running worker did not answer."""


class WrongDataError(ModelError):
    """A line of an evaluation or calibration file does not hold what the task needs."""
