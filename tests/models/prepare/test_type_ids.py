"""A tokenizer whose type ids the model is never given has none, whatever its post-processor is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from models.prepare.type_ids import remove_types

VOCABULARY = {"[CLS]": 0, "[SEP]": 1, "a": 2, "b": 3, "[UNK]": 4}
SPECIAL = [("[CLS]", 0), ("[SEP]", 1)]


def template() -> Any:
    return processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=SPECIAL
    )


PROCESSORS: dict[str, Callable[[], Any]] = {
    "template": template,
    "bert": lambda: processors.BertProcessing(SPECIAL[1], SPECIAL[0]),
    "sequence": lambda: processors.Sequence([processors.ByteLevel(trim_offsets=False), template()]),
    "roberta": lambda: processors.RobertaProcessing(SPECIAL[1], SPECIAL[0]),
    "none": lambda: None,
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_pairs_have_the_same_ids_and_no_types(tmp_path: Path, name: str) -> None:
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))  # noqa: S106 - a token of another kind
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PROCESSORS[name]()
    if made is not None:
        tokenizer.post_processor = made
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    before = path.read_bytes()
    remove_types(path)
    changed = Tokenizer.from_file(str(path))
    for inputs in (("a b",), ("a b", "b"), ("", "a")):
        assert changed.encode(*inputs).ids == tokenizer.encode(*inputs).ids
        assert changed.encode(*inputs).sequence_ids == tokenizer.encode(*inputs).sequence_ids
        assert not any(changed.encode(*inputs).type_ids)
    assert (path.read_bytes() == before) is (name == "roberta")
