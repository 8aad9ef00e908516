"""Texts that tokenizers are compared on: ordinary ones, and what tokenizers are known to disagree about."""

from __future__ import annotations

import random
from pathlib import Path

from models.evaluation.rows import read_rows
from models.prepare.quantize.calibration import built_in
from producer.contract import TaskName

__all__ = ["probe_texts"]

_COUNT = 1_000
#: Each line a text; in escapes, since some characters cannot be told apart by eye.
_ODD = Path(__file__).with_suffix(".jsonl")


def probe_texts() -> list[str]:
    """The same 1,000 texts every time: the built-in calibration texts, the odd ones, and mixtures of both."""
    ordinary = [
        value
        for task in TaskName
        for row in read_rows(built_in(task), {})
        for name, value in sorted(row.items())
        if name != "label"
    ]
    odd = [row["text"] for row in read_rows(_ODD, {"text": str})]
    choose = random.Random(0)  # noqa: S311 - no secret
    texts = list(dict.fromkeys([*odd, *ordinary]))[: _COUNT // 2]
    words = [word for text in (*odd * 8, *ordinary[:200]) for word in text.split(" ")]
    while len(texts) < _COUNT:
        texts.append(" ".join(choose.choices(words, k=choose.randint(1, 24))))
    return texts
