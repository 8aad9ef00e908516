"""The estimated cost of a request, which bounds its batch."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.pipelines.base import EncodedItem
from producer.contract import TextClassificationRequest
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


#: Of 4,000 tokens.
LONG = "abc " * 4000


@pytest.mark.parametrize(
    ("kwargs", "repeated"),
    [
        ({"inputs": LONG}, 0),
        ({"inputs": LONG, "truncation": False}, 0),
        ({"inputs": "abc " * 509, "truncation": "windows"}, 0),
        # 3,491 tokens do not fit into the first window, and each further one adds 381.
        ({"inputs": LONG, "truncation": "windows"}, 10 * 128),
        ({"inputs": [LONG, "a", LONG], "truncation": "windows"}, 20 * 128),
        ({"inputs": LONG, "truncation": "windows", "doc_stride": 0}, 0),
        ({"inputs": LONG, "truncation": "windows", "doc_stride": 254}, 14 * 254),
        ({"inputs": LONG, "truncation": "windows", "max_seq_len": 200, "doc_stride": 10}, 20 * 10),
        # 109 tokens of each window are for the other text.
        ({"inputs": {"text": "abc " * 109, "text_pair": LONG}, "truncation": "windows"}, 14 * (128 + 109)),
        ({"inputs": {"text": LONG, "text_pair": "abc " * 109}, "truncation": "windows"}, 14 * (128 + 109)),
        ({"question": "abc " * 9, "context": "abc " * 375}, 0),
        ({"question": "abc " * 9, "context": LONG}, 15 * (128 + 9)),
        ({"question": "abc " * 9, "context": LONG, "max_seq_len": 109, "doc_stride": 50}, 78 * (50 + 9)),
        # More than 2,000 windows would be refused.
        ({"question": "abc " * 9, "context": LONG, "max_seq_len": 10, "doc_stride": 0}, 2000 * 9),
        ({"question": ["a", "abc " * 9], "context": ["b", LONG]}, 15 * (128 + 9)),
        ({"inputs": 5, "truncation": "windows", "doc_stride": "x"}, 0),
        ({"inputs": [{"text": None}, None, 1.5, "\ud800"], "truncation": "windows", "doc_stride": -1}, 0),
        ({"question": 1, "context": None, "max_seq_len": "x"}, 0),
        ({"context": LONG, "max_seq_len": 0, "doc_stride": 10**30}, 2000 * 383),
    ],
    ids=lambda value: str(value)[-60:],
)
def test_what_windows_repeat_is_read_in_addition(kwargs: dict[str, Any], repeated: int) -> None:
    assert estimate_tokens(kwargs, 500) == 100 + repeated


def test_what_the_windows_of_a_text_repeat_is_read_for_each_label() -> None:
    kwargs = {
        "inputs": LONG,
        "candidate_labels": ["abc " * 4] * 7,
        "hypothesis_template": "{}",
        "truncation": "windows",
    }
    assert estimate_tokens(kwargs, 500) == (100 + 10 * (128 + 4)) * 7


@pytest.mark.parametrize("parameters", [{}, {"doc_stride": 80}, {"doc_stride": 0}], ids=str)
@pytest.mark.parametrize("pair", ["a", TEXT * 15])
def test_it_is_close_to_what_a_model_reads_in_windows(classifiers: Pipelines, pair: str, parameters: Any) -> None:
    kwargs = {"inputs": {"text": TEXT * 150, "text_pair": pair}, "truncation": "windows", **parameters}
    pipeline = classifiers["sentiment"]
    ((item,),) = pipeline.preprocess([TextClassificationRequest.parse(kwargs)])
    assert isinstance(item, EncodedItem)
    tokens = sum(len(sequence.ids) for sequence in item.sequences)

    assert tokens / 2 < estimate_tokens(kwargs, len(json.dumps(kwargs))) < tokens * 2
