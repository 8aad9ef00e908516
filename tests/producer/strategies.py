"""What hypothesis makes up for the producer's tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from producer.contract import REQUESTS

#: The parameters of all three tasks.
ALL_PARAMETERS = sorted({name for schema in REQUESTS.values() for name in schema.model_fields})


def texts(max_size: int | None = 50) -> st.SearchStrategy[str]:
    """Texts that the contract accepts."""
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=max_size)


def json_values(strings: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[Any]:
    """Whatever can stand in JSON, half surrogates and NaN included."""
    strings = st.text(st.characters(exclude_categories=[])) if strings is None else strings
    keys = st.sampled_from(["text", "text_pair", "one", "many", "__type__"])
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | strings,
        lambda values: st.lists(values, max_size=4) | st.dictionaries(keys, values, max_size=3),
        max_leaves=8,
    )
