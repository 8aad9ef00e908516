"""What is said of another library's error."""

from __future__ import annotations

import pytest

from models.errors import first_line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ImportError("\nXLMRobertaTokenizer requires the SentencePiece library\nSee …"),
            "XLMRobertaTokenizer requires",
        ),
        (ValueError("  one line "), "one line"),
        (RuntimeError(" \n\n"), "RuntimeError"),
        (KeyError(), "KeyError"),
    ],
)
def test_the_first_line_that_says_something_is_kept(error: Exception, said: str) -> None:
    assert first_line(error).startswith(said)
    assert "\n" not in first_line(error)
