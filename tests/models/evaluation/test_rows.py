"""Rows of a JSON Lines file; errors name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import InvalidDataError
from models.evaluation.rows import read_rows

COLUMNS: dict[str, type] = {"text": str, "label": str}


def test_rows_are_read_in_their_order_with_what_else_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "ü", "label": "A"}\n\n  \n{"text": "b", "label": "B", "id": 7}', encoding="utf-8")
    assert read_rows(path, COLUMNS) == [{"text": "ü", "label": "A"}, {"text": "b", "label": "B", "id": 7}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "a"', "not JSON"),
        ('{"text": "a"}', "needs a str named 'label'"),
        ('{"label": "A"}', "needs a str named 'text'"),
        ('{"text": 5, "label": "A"}', "needs a str named 'text'"),
        ('["a", "A"]', "not a JSON object"),
        ("null", "not a JSON object"),
    ],
)
def test_a_wrong_row_is_named_by_its_line_blank_ones_counted(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a", "label": "A"}\n\n' + line + "\n")
    with pytest.raises(InvalidDataError) as caught:
        read_rows(path, COLUMNS)
    assert f"{path}, line 3: {reason}" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(InvalidDataError, match="has no rows"):
        read_rows(tmp_path / "rows.jsonl", COLUMNS)


def test_a_file_that_is_missing_no_file_or_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.jsonl").write_bytes('{"text": "ü", "label": "A"}'.encode("latin-1"))
    for path in (tmp_path / "none.jsonl", tmp_path, tmp_path / "latin.jsonl"):
        with pytest.raises(InvalidDataError, match=str(path)):
            read_rows(path, COLUMNS)
