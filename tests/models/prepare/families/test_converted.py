"""Tokenizers that are converted from the files of a slow one."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from models.errors import TokenizerError
from tests.models.prepare.families.tokenizers import write_tokenizer_files

pytestmark = pytest.mark.prepare


def convert(directory: Path, name: str, family: str) -> None:
    from models.prepare.tokenizer import write_tokenizer

    (directory / "source").mkdir()
    with warnings.catch_warnings():
        # Of transformers, about its own classes.
        warnings.simplefilter("ignore")
        write_tokenizer_files(directory / "source", name, has_json=False)
    (directory / "source" / "config.json").write_text(json.dumps({"model_type": family}))
    write_tokenizer(directory / "source", directory)


def test_few_ties_that_are_broken_otherwise_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(tmp_path, "XLMRobertaTokenizer", "xlm-roberta")
    assert "tokenizer.json differs from the slow tokenizer on" in capsys.readouterr().err
    assert (tmp_path / "tokenizer.json").is_file()


def test_a_conversion_that_reads_other_letters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"no tokenizer.json gives the ids of the model's own tokenizer; .*'café"):
        convert(tmp_path, "RemBertTokenizer", "rembert")
