"""``tokenizer.json`` for every model, with the ids that the model's own tokenizer gives."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer

from models.errors import TokenizerError
from models.prepare.probe_texts import probe_texts
from models.store import TOKENIZER_NAME

__all__ = ["write_tokenizer"]

#: Every so many of the texts is compared as the first of a pair too.
_PAIR_EVERY = 5


def write_tokenizer(source: Path, target: Path) -> None:
    """Write ``tokenizer.json`` into ``target``: the publisher's, or one converted from what there is.

    What the model was published with decides: its own ``tokenizer.json`` as ``transformers`` loads it, else the slow
    tokenizer. The file is compared with it on 1,000 texts and 200 pairs before it is taken.

    Raises:
        TokenizerError: there is no tokenizer that can be read, or no file gives equal ids.
    """
    shipped = source / TOKENIZER_NAME
    made = target / TOKENIZER_NAME
    original = _load(source, is_fast=shipped.is_file())
    texts = probe_texts()
    difference = ""
    for candidate in _candidates(source, shipped):
        candidate(made)
        difference = _first_difference(made, original, texts)
        if not difference:
            return
    raise TokenizerError(f"{source}: no {TOKENIZER_NAME} gives the ids of the model's own tokenizer; {difference}")


def _candidates(source: Path, shipped: Path) -> Iterator[Any]:
    if shipped.is_file():
        yield lambda made: shutil.copyfile(shipped, made)
    # With what tokenizer_config.json changes of a tokenizer.json, or from the slow tokenizer's files.
    yield lambda made: made.write_text(_load(source, is_fast=True).backend_tokenizer.to_str(), encoding="utf-8")


def _load(source: Path, *, is_fast: bool) -> Any:
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = AutoTokenizer.from_pretrained(
                source, use_fast=is_fast, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
            raise TokenizerError(f"{source} has no tokenizer that can be read: {problem}") from error
    if is_fast and not loaded.is_fast:
        raise TokenizerError(f"{source}: there is no way to make {TOKENIZER_NAME} from a {type(loaded).__name__}")
    return loaded


def _first_difference(path: Path, original: Any, texts: Sequence[str]) -> str:
    """What the two disagree on first; empty if nothing."""
    try:
        made = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        return f"{path.name} cannot be read: {error}"
    made.no_padding()
    made.no_truncation()
    pairs = list(pairwise(texts))[::_PAIR_EVERY]
    for text, encoding in zip([*texts, *pairs], made.encode_batch([*texts, *pairs]), strict=True):
        arguments = (text,) if isinstance(text, str) else text
        wanted = original(*arguments, truncation=False)
        if encoding.ids != wanted["input_ids"] or encoding.type_ids != wanted.get("token_type_ids", encoding.type_ids):
            return f"they differ on {text!r}"
    return ""
