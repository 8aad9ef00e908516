"""A ``tokenizer.json`` for every model, with the token ids of the model's own tokenizer."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer

from models.errors import TokenizerError, first_line
from models.prepare.check.probe_texts import probe_texts
from models.store import TOKENIZER_NAME

__all__ = ["write_tokenizer"]

#: One text in this many is also compared as the first part of a pair.
_PAIR_EVERY = 5


def write_tokenizer(source: Path, target: Path) -> None:
    """Write ``tokenizer.json`` into ``target``: the publisher's, or one converted from the publisher's other files.

    The reference is the tokenizer that the model was published with: its ``tokenizer.json`` as ``transformers`` loads
    it, otherwise the slow tokenizer. A file is accepted if it gives the same ids on 1,000 texts and 200 pairs.

    Args:
        source: directory of the published files.
        target: an existing directory.

    Raises:
        TokenizerError: there is no readable tokenizer, or no file gives the same ids.
    """
    published = source / TOKENIZER_NAME
    path = target / TOKENIZER_NAME
    reference = _load(source, is_fast=published.is_file())
    texts = probe_texts()
    difference = ""
    for write in _writers(source, published):
        write(path)
        difference = _first_difference(path, reference, texts)
        if not difference:
            return
    raise TokenizerError(f"{source}: no {TOKENIZER_NAME} gives the ids of the model's own tokenizer; {difference}")


def _writers(source: Path, published: Path) -> Iterator[Callable[[Path], object]]:
    if published.is_file():
        yield lambda path: shutil.copyfile(published, path)
    # As changed by tokenizer_config.json, or converted from the slow tokenizer's files.
    yield lambda path: path.write_text(_load(source, is_fast=True).backend_tokenizer.to_str(), encoding="utf-8")


def _load(source: Path, *, is_fast: bool) -> Any:
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = AutoTokenizer.from_pretrained(
                source, use_fast=is_fast, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:
            problem = f"{type(error).__name__}: {first_line(error)}"
            raise TokenizerError(f"{source} has no readable tokenizer: {problem}") from error
    if is_fast and not loaded.is_fast:
        raise TokenizerError(f"{source}: {TOKENIZER_NAME} cannot be made from a {type(loaded).__name__}")
    return loaded


def _first_difference(path: Path, reference: Any, texts: Sequence[str]) -> str:
    """The first text for which the ids differ, in words; empty if there is none."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        return f"{path.name} cannot be read: {error}"
    tokenizer.no_padding()
    tokenizer.no_truncation()
    pairs = list(pairwise(texts))[::_PAIR_EVERY]
    for text, encoding in zip([*texts, *pairs], tokenizer.encode_batch([*texts, *pairs]), strict=True):
        arguments = (text,) if isinstance(text, str) else text
        expected = reference(*arguments, truncation=False)
        expected_types = expected.get("token_type_ids", encoding.type_ids)
        if encoding.ids != expected["input_ids"] or encoding.type_ids != expected_types:
            return f"they differ on {text!r}"
    return ""
