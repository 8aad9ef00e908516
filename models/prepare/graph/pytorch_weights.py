"""``pytorch_model.bin`` → safetensors. A pickle can run any code; only tensors are let out of this one."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from models.errors import PreparationError, UnsafeWeightsError

__all__ = ["write_safetensors"]


def write_safetensors(source: Path, target: Path) -> None:
    """Write the tensors of a pickled checkpoint as safetensors.

    Raises:
        UnsafeWeightsError: the pickle holds something else than tensors; none of it has run.
        PreparationError: the file is truncated or no checkpoint.
    """
    try:
        with warnings.catch_warnings():
            # On pickles that torch itself would not have written, before it refuses them.
            warnings.simplefilter("ignore")
            weights = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeWeightsError(source, str(error).strip().splitlines()[0]) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PreparationError(f"{source} is truncated or no PyTorch checkpoint: {problem}") from error
    if not isinstance(weights, Mapping) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise PreparationError(f"{source} holds no tensors by name, as a checkpoint of transformers does")
    if any(value.is_quantized for value in weights.values()):
        raise PreparationError(f"{source} holds PyTorch INT8 tensors, which OpenVINO cannot read")
    # Tensors that share memory, as tied embeddings do, are refused by the format: each gets its own.
    separate = {name: value.detach().clone().contiguous() for name, value in weights.items()}
    try:
        save_file(separate, target, metadata={"format": "pt"})
    except SafetensorError as error:
        raise PreparationError(f"{target} could not be written; is the disk full? ({error})") from error
