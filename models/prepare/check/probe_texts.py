"""Texts on which tokenizers are compared: ordinary ones, and some that tokenizers are known to disagree about."""

from __future__ import annotations

import random
from pathlib import Path

from models.evaluation.rows import read_rows
from models.prepare.quantize.calibration import built_in_rows
from producer.contract import TaskName

__all__ = ["probe_texts", "unusual_texts"]

_COUNT = 1_000
#: One text per line, with escapes, since some characters cannot be told apart by eye.
_UNUSUAL = Path(__file__).with_suffix(".jsonl")


def unusual_texts() -> list[str]:
    """Texts that tokenizers are known to disagree about."""
    return [row["text"] for row in read_rows(_UNUSUAL, {"text": str})]


def probe_texts() -> list[str]:
    """Always the same 1,000 texts: the built-in calibration texts, unusual ones, and mixtures of both."""
    ordinary = [
        value
        for task in TaskName
        for row in read_rows(built_in_rows(task), {})
        for name, value in sorted(row.items())
        if name != "label"
    ]
    unusual = unusual_texts()
    generator = random.Random(0)  # noqa: S311 - no secret
    texts = list(dict.fromkeys([*unusual, *ordinary]))[: _COUNT // 2]
    words = [word for text in (*unusual * 8, *ordinary[:200]) for word in text.split(" ")]
    while len(texts) < _COUNT:
        texts.append(" ".join(generator.choices(words, k=generator.randint(1, 24))))
    return texts
