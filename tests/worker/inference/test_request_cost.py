"""The estimated cost of a request, which bounds its batch."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.inference.conftest import Pipelines
from worker.inference.request_cost import estimate_tokens

SIZES = st.integers(0, 2_000_000)
TEXT = "It does the job, and nobody has complained about it so far, which is all that we had hoped for. "


@pytest.mark.parametrize(
    ("kwargs", "body_bytes", "tokens"),
    [
        ({}, 0, 1),
        ({}, 100, 1),
        ({}, 107, 1),
        ({}, 108, 2),
        ({"inputs": "a"}, 500, 100),
        ({"candidate_labels": "one"}, 500, 100),
        ({"candidate_labels": "one, two,three"}, 500, 300),
        ({"candidate_labels": ["one", "two"]}, 500, 200),
        ({"candidate_labels": ["one, two"]}, 500, 100),
        ({"candidate_labels": []}, 500, 100),
        ({"candidate_labels": ""}, 500, 100),
        ({"candidate_labels": None}, 500, 100),
        ({"candidate_labels": {"no": "list"}}, 500, 100),
        ({"candidate_labels": 10**9}, 500, 100),
    ],
    ids=str,
)
def test_a_token_is_four_bytes_of_text_read_once_for_each_label(
    kwargs: dict[str, Any], body_bytes: int, tokens: int
) -> None:
    assert estimate_tokens(kwargs, body_bytes) == tokens


@given(SIZES, SIZES, st.lists(st.text(alphabet="abc", min_size=1), min_size=1, max_size=100))
def test_it_never_falls_as_a_request_grows_and_rises_with_every_label(one: int, other: int, labels: list[str]) -> None:
    smaller, larger = sorted((one, other))

    assert 1 <= estimate_tokens({}, smaller) <= estimate_tokens({}, larger)
    as_list = estimate_tokens({"candidate_labels": labels}, one)
    assert as_list == len(labels) * estimate_tokens({}, one)
    assert as_list == estimate_tokens({"candidate_labels": ",".join(labels)}, one)


@pytest.mark.parametrize("repetitions", [1, 4, 16])
def test_it_is_close_to_what_the_tokenizer_counts_for_english(classifiers: Pipelines, repetitions: int) -> None:
    kwargs = {"inputs": TEXT * repetitions}
    body = json.dumps([[], kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    tokens = len(classifiers["sentiment"].tokenizer.encode(kwargs["inputs"]).ids)

    assert tokens / 2 < estimate_tokens(kwargs, len(body)) < tokens * 2
