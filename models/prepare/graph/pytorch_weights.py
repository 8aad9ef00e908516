"""From ``pytorch_model.bin`` to safetensors. A pickle can run any code; only tensors are accepted from this one."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from models.errors import PreparationError, UnsafeWeightsError, first_line

__all__ = ["write_safetensors"]


def write_safetensors(source: Path, target: Path) -> None:
    """Write the tensors of a pickled checkpoint as safetensors.

    Raises:
        UnsafeWeightsError: the pickle contains something other than tensors; none of it was executed.
        PreparationError: the file is truncated or not a checkpoint, or ``target`` cannot be written.
    """
    try:
        with warnings.catch_warnings():
            # torch warns about pickles that it would not have written itself, before it refuses them.
            warnings.simplefilter("ignore")
            weights = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeWeightsError(source, first_line(error)) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        problem = f"{type(error).__name__}: {first_line(error)}"
        raise PreparationError(f"{source} is truncated or not a PyTorch checkpoint: {problem}") from error
    if not isinstance(weights, Mapping) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise PreparationError(f"{source} is not a checkpoint of transformers: it is not a mapping of names to tensors")
    if any(value.is_quantized for value in weights.values()):
        raise PreparationError(f"{source} contains PyTorch INT8 tensors, which OpenVINO cannot read")
    # The format does not allow tensors that share memory, such as tied embeddings, so each is copied.
    separate = {name: value.detach().clone().contiguous() for name, value in weights.items()}
    try:
        save_file(separate, target, metadata={"format": "pt"})
    except SafetensorError as error:
        raise PreparationError(f"{target} could not be written; is the disk full? ({error})") from error
