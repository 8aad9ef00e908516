"""A tokenizer without type ids, for models that are never given any, whatever their ``tokenizer.json`` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

__all__ = ["remove_types"]


def remove_types(path: Path) -> None:
    """Change a ``tokenizer.json`` so that all type ids are 0. Nothing is written if they are already.

    ``model_input_names`` in ``tokenizer_config.json`` may leave them out. ``transformers`` then gives the model none,
    and the model takes them as 0.
    """
    if not any(Tokenizer.from_file(str(path)).encode("a", "b").type_ids):
        return
    content = json.loads(path.read_bytes())
    content["post_processor"] = _without_types(content.get("post_processor") or _plain())
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")


def _without_types(processor: dict[str, Any]) -> dict[str, Any]:
    if processor["type"] == "Sequence":
        return {**processor, "processors": [_without_types(one) for one in processor["processors"]]}
    if processor["type"] == "BertProcessing":
        processor = _template(processor["cls"], processor["sep"])
    if processor["type"] != "TemplateProcessing":
        return processor
    return {**processor, **{part: [_of_type_0(piece) for piece in processor[part]] for part in ("single", "pair")}}


def _of_type_0(piece: dict[str, Any]) -> dict[str, Any]:
    return {kind: {**fields, "type_id": 0} for kind, fields in piece.items()}


def _sequence(name: str) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": 0}}


def _plain() -> dict[str, Any]:
    pair = [_sequence("A"), _sequence("B")]
    return {"type": "TemplateProcessing", "single": [_sequence("A")], "pair": pair, "special_tokens": {}}


def _template(first: tuple[str, int], separator: tuple[str, int]) -> dict[str, Any]:
    """What BERT's own processor does, as a template."""
    special = {token: {"id": token, "ids": [number], "tokens": [token]} for token, number in (first, separator)}
    start, end = ({"SpecialToken": {"id": token, "type_id": 0}} for token, _ in (first, separator))
    return {
        "type": "TemplateProcessing",
        "single": [start, _sequence("A"), end],
        "pair": [start, _sequence("A"), end, _sequence("B"), end],
        "special_tokens": special,
    }
