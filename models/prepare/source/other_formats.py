"""Formats in which models are published and that are not prepared, told by the names of files."""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["name_format"]

#: What a repository is that has no weights to prepare, by a file that gives it away; the first that matches counts.
_FORMATS = (
    (
        r"adapter_config\.json",
        "it is an adapter ({0}) without the model that it adapts; merge the two and prepare the result",
    ),
    (r".*\.gguf", "its weights are in GGUF ({0}), the format of llama.cpp; prepare the PyTorch model"),
    (r"onnx/.*\.onnx", "its ONNX graphs are in a folder ({0}); prepare the PyTorch model that they were made from"),
    (
        r"pytorch_model\.bin\.index\.json",
        "its weights are several pickles ({0}), which are not read; load it and save it with save_pretrained",
    ),
    (
        r"tf_model\.h5|saved_model\.pb",
        "its weights are TensorFlow's alone ({0}); load it with from_tf=True and save it with save_pretrained",
    ),
    (
        r"flax_model\.msgpack",
        "its weights are Flax's alone ({0}); load it with from_flax=True and save it with save_pretrained",
    ),
    (
        r"modules\.json",
        "it is a pipeline of sentence-transformers ({0}), which makes embeddings",
    ),
    (r"config_setfit\.json|model_head\.pkl", "it is a SetFit model, whose head is a pickle of scikit-learn ({0})"),
    (r"meta\.json", "it is a spaCy pipeline ({0})"),
    (r".*\.ftz|model\.bin", "it is a fastText model ({0})"),
    (r"model\.pt|pytorch_model\.pt|.*\.ckpt", "its weights are a checkpoint of a training framework ({0})"),
)


def name_format(names: Collection[str]) -> str:
    """What the files are instead of a model that can be prepared, as the rest of a sentence; empty if not known.

    Args:
        names: names of all files, with their folders.
    """
    for pattern, description in _FORMATS:
        found = next((name for name in sorted(names) if re.fullmatch(pattern, name)), None)
        if found:
            return description.format(found)
    return ""
