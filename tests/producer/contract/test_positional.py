"""Positional arguments, as chains and clients in other languages send them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from producer.contract import REQUESTS, ErrorCode, InvalidRequest, TaskName

README = (Path(__file__).resolve().parents[3] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("task", list(TaskName), ids=str)
def test_the_order_is_that_of_the_readmes_table(task: TaskName) -> None:
    table = re.search(rf"\| (?:`kwargs` )?of `{task.value}` \| \|\n\| --- \| --- \|\n((?:\|.*\n)+)", README)
    assert table, task
    shown = [name for row in table[1].splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])]

    assert shown == REQUESTS[task].positions()


def test_they_fill_what_keywords_leave_open() -> None:
    bind = REQUESTS[TaskName.QUESTION_ANSWERING].bind

    assert bind(["Who?", "She did."], {}) == {"question": "Who?", "context": "She did."}
    assert bind(["She did."], {"question": "Who?"}) == {"question": "Who?", "context": "She did."}
    assert bind(["Who?"], {"context": "She did."}) == {"question": "Who?", "context": "She did."}
    assert bind([], {"question": "Who?"}) == {"question": "Who?"}


def test_one_too_many_is_named_with_the_limit() -> None:
    schema = REQUESTS[TaskName.TEXT_CLASSIFICATION]

    with pytest.raises(InvalidRequest) as caught:
        schema.bind(["a"] * 9, {"model": "sentiment"})

    assert (caught.value.code, caught.value.field, caught.value.limit) == (ErrorCode.TOO_MANY, "args", 7)
