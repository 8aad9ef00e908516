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
from models.prepare.type_ids import remove_types
from models.progress import report
from models.store import TOKENIZER_NAME

__all__ = ["write_tokenizer"]

#: One text in this many is also compared as the first part of a pair.
_PAIR_EVERY = 5
#: Share of the texts on which a file may differ from a tokenizer of SentencePiece, which breaks ties in another way.
_MAX_DIFFERENT = 0.01
_TYPES = "token_type_ids"


def write_tokenizer(source: Path, target: Path) -> None:
    """Write ``tokenizer.json`` into ``target``: the publisher's, or one converted from the publisher's other files.

    The reference is the tokenizer that the model was published with: its ``tokenizer.json`` as ``transformers`` loads
    it, otherwise the slow tokenizer. A published file is accepted if it gives the same ids on 1,000 texts and 200
    pairs.
    A converted one is what the pipelines of ``transformers`` use, and may differ from the slow one in 1 % of the texts,
    beside those that spell special tokens. Type ids that the model is never given are 0.

    Args:
        source: directory of the published files.
        target: an existing directory.

    Raises:
        TokenizerError: there is no readable tokenizer, or no file gives the same ids.
    """
    published = source / TOKENIZER_NAME
    path = target / TOKENIZER_NAME
    reference = _load(source, is_fast=published.is_file())
    inputs = _probe_inputs(reference)
    allowed = 0 if reference.is_fast else int(len(inputs) * _MAX_DIFFERENT)
    different: list[str] = []
    for write in _writers(source, published):
        write(path)
        different = _differences(path, reference, inputs)
        if len(different) > allowed:
            continue
        if different:
            report(f"{TOKENIZER_NAME} differs from the slow tokenizer on {len(different)} of {len(inputs)} texts")
        if _TYPES not in reference.model_input_names:
            remove_types(path)
        return
    raise TokenizerError(f"{source}: no {TOKENIZER_NAME} gives the ids of the model's own tokenizer; {different[0]}")


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


def _probe_inputs(reference: Any) -> list[Any]:
    """Texts, and pairs of them as tuples. A slow tokenizer is not asked about texts that spell special tokens."""
    texts: Sequence[str] = probe_texts()
    if not reference.is_fast:
        texts = [text for text in texts if not any(token in text for token in reference.all_special_tokens)]
    return [*texts, *list(pairwise(texts))[::_PAIR_EVERY]]


def _differences(path: Path, reference: Any, inputs: Sequence[Any]) -> list[str]:
    """In words, on which inputs the ids differ; or that the file cannot be read."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        return [f"{path.name} cannot be read: {error}"] * len(inputs)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    different = []
    for text, encoding in zip(inputs, tokenizer.encode_batch(inputs), strict=True):
        arguments = (text,) if isinstance(text, str) else text
        expected = reference(*arguments, truncation=False, verbose=False)
        expected_types = expected.get(_TYPES, encoding.type_ids)
        if encoding.ids != expected["input_ids"] or encoding.type_ids != expected_types:
            different.append(f"they differ on {text!r}")
    return different
