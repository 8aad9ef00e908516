"""The demo's texts: forty of our own, as many as are wanted generated from their sentences, and eight questions."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

__all__ = ["Example", "generate", "read_examples", "read_questions"]

_EXAMPLES = Path(__file__).resolve().parents[1]
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_SEED = 20261121
#: How many sentences a generated text has; short ones are the most common, as in reviews and mails.
_SENTENCES = (1, 1, 1, 2, 2, 3)

Example = dict[str, str]


def read_examples() -> list[Example]:
    """The forty texts, each with its kind."""
    return _read("texts.jsonl")


def read_questions() -> list[Example]:
    """Eight questions, each with its context."""
    return _read("questions.jsonl")


def _read(name: str) -> list[Example]:
    return [json.loads(line) for line in (_EXAMPLES / name).read_text(encoding="utf-8").splitlines()]


def generate(examples: list[Example], count: int) -> list[str]:
    """``count`` texts put together from the examples' sentences; the same ones every time."""
    dice = random.Random(_SEED)  # noqa: S311 - texts for a demo
    sentences = sorted({s for example in examples for s in _SENTENCE_END.split(example["text"])})
    return [" ".join(dice.choices(sentences, k=dice.choice(_SENTENCES))) for _ in range(count)]
