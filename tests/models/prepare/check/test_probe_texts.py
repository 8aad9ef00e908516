"""The texts on which tokenizers are compared."""

from __future__ import annotations

from models.prepare.check.probe_texts import probe_texts


def test_tokenizers_are_compared_on_1000_different_texts_that_are_always_the_same() -> None:
    texts = probe_texts()
    assert len(set(texts)) >= 990
    assert len(texts) == 1_000
    assert texts == probe_texts()
    assert any("\u0301" in text for text in texts)
