"""Texts for comparing with the reference: our own examples, and texts that are hard for tokenizers and offsets."""

# ruff: noqa: RUF001 - characters that look like others are intended here

from __future__ import annotations

import random

from examples.demo.texts import generate, read_examples

__all__ = ["CONTEXTS", "ODD", "PLAIN", "QUESTIONS", "seeded_random"]

ODD = [
    "a",
    "?",
    "🙂",
    "👩‍👩‍👧‍👦 a family of four",
    "e\u0301te\u0301 with combining marks, café without",
    "שלום עולם, זה טוב",
    "مرحبا بالعالم، هذا جيد",
    "你好，世界。这很好",
    "\ttab\tand\nnew\nline\r\n\r\nend ",
    "!!!...???---",
    "ﬁne ligatures and ＦＵＬＬ width",
    "x" * 300,
    "The   many    spaces   between",
    "naïve Zürich Straße",
    "1,234.56 or $9.99, 50% off",
    "see http://a.b/c?d=e&f=g now",
    "\u200bzero\u200bwidth\u200bspaces",
    "𝒜 mathematical 𝒷 letter",
    "I've can't won't it's",
    "under_score and-hyphen/slash",
    "a" * 10_000,
    "word " * 2_000,
]
PLAIN = generate(read_examples(), 300)
QUESTIONS = [
    "What is this about?",
    "Who wrote this?",
    "When did it arrive?",
    "Why is the customer unhappy?",
    "How much did it cost?",
    "Where?",
    "?",
    "what what what",
    "Which city, river or mountain is named in the text that you were given to read?",
]


def seeded_random() -> random.Random:
    """A generator that always gives the same numbers."""
    return random.Random(7)  # noqa: S311 - texts for a test


def _contexts() -> list[str]:
    rng = seeded_random()
    long = [" ".join(rng.choices(PLAIN, k=n)) for n in (1, 1, 2, 2, 3, 4, 6, 8) for _ in range(8)]
    equal = ["It is Bob. It is Bob. It is Bob. It is Bob.", "yes no yes no yes no", "Bob", "Bob went", "first and last"]
    return [*long, *equal]


#: From one sentence to several windows, and some in which several answers are equally good.
CONTEXTS = _contexts()
