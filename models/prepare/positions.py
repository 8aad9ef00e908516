"""How many positions a model has, read from its position table rather than from its configuration."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["position_limit"]

#: What ``transformers`` calls the embedding of positions in its models.
_TABLES = frozenset({"position_embeddings", "embed_positions", "wpe"})


def position_limit(model: torch.nn.Module) -> int | None:
    """The longest row that the position tables of a model allow, in tokens.

    RoBERTa and its relatives number positions from the padding token's id + 1
    (``create_position_ids_from_input_ids`` in ``transformers``), BART and OPT from 2: the positions before are never
    used, so 514 rows are enough for 512 tokens.

    Args:
        model: of ``transformers``; its weights are not read, so it may be on the meta device.

    Returns:
        None if it has no table, since positions are relative or rotary.
    """
    limits = [_usable(module) for name, module in model.named_modules() if name.rsplit(".", 1)[-1] in _TABLES]
    return min((limit for limit in limits if limit is not None), default=None)


def _usable(module: Any) -> int | None:
    weight = getattr(module, "weight", None)
    if weight is None or weight.ndim != 2:  # noqa: PLR2004 - a table of positions by width
        return None
    padding_id = getattr(module, "padding_idx", None)
    unused = int(getattr(module, "offset", 0)) if padding_id is None else int(padding_id) + 1
    return int(weight.shape[0]) - unused
