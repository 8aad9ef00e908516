"""A hidden result is stored as it is and shown as a placeholder."""

from __future__ import annotations

from typing import Any

from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.json import dumps, loads

from worker.inference.hidden_result import HIDDEN, HiddenResult

SECRET = "Zebediah"  # noqa: S105 - a text, not a password
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=8,
)


@given(JSON_VALUES)
def test_it_is_stored_as_its_value_wherever_it_is_in_a_result(value: Any) -> None:
    assert loads(dumps({"result": [HiddenResult(value)]})) == {"result": [value]}


def test_it_is_never_shown() -> None:
    hidden = HiddenResult({"answer": SECRET})

    for shown in (repr(hidden), str(hidden), f"{hidden}", f"{[hidden]!r}"):
        assert SECRET not in shown
        assert HIDDEN in shown


def test_a_result_backend_of_celery_encodes_the_value() -> None:
    app = Celery("hidden", backend="cache+memory://", set_as_current=False)

    app.backend.store_result("an-id", HiddenResult({"answer": SECRET}), "SUCCESS")

    assert app.AsyncResult("an-id").get() == {"answer": SECRET}
