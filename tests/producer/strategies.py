"""Hypothesis strategies of the producer's tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from producer.contract import MAX_ANSWERS, MAX_LABELS, MIN_WINDOW_TOKENS, REQUESTS

#: The parameters of all three tasks.
ALL_PARAMETERS = sorted({name for schema in REQUESTS.values() for name in schema.model_fields})


def texts(max_size: int | None = 50) -> st.SearchStrategy[str]:
    """Texts that the contract accepts."""
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=max_size)


def json_values(strings: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[Any]:
    """Any JSON value, including lone surrogates and NaN."""
    strings = st.text(st.characters(exclude_categories=[])) if strings is None else strings
    keys = st.sampled_from(["text", "text_pair", "one", "many", "__type__"])
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | strings,
        lambda values: st.lists(values, max_size=4) | st.dictionaries(keys, values, max_size=3),
        max_leaves=8,
    )


def templates() -> st.SearchStrategy[str]:
    """Hypothesis templates that the contract accepts."""
    around = texts().map(lambda text: text.replace("{", "{{").replace("}", "}}"))
    return st.builds("{}{}{}".format, around, st.sampled_from(["{}", "{0}", "{0} {0}"]), around)


def zero_shot_arguments() -> st.SearchStrategy[dict[str, Any]]:
    """Zero-shot requests that the contract accepts."""
    labels = st.lists(texts(), min_size=1, max_size=MAX_LABELS)
    spelt = st.lists(texts(), min_size=1, max_size=5).map(",".join)
    # At least one label is more than white space.
    spelt = spelt.filter(lambda text: any(label.strip() for label in text.split(",")))
    return st.fixed_dictionaries(
        {"inputs": texts() | st.lists(texts(), min_size=1, max_size=5), "candidate_labels": labels | spelt},
        optional={
            "hypothesis_template": templates(),
            "multi_label": st.booleans(),
            "truncation": st.sampled_from([True, False, "windows"]),
            "combine_windows": st.sampled_from(["mean", "max"]),
            "max_seq_len": st.none() | st.integers(min_value=MIN_WINDOW_TOKENS),
            "doc_stride": st.integers(min_value=0),
            "model": texts(max_size=200),
        },
    )


def question_arguments() -> st.SearchStrategy[dict[str, Any]]:
    """Question-answering requests that the contract accepts, one question or several."""
    return st.one_of(_questions(texts(), texts()), st.integers(1, 5).flatmap(_several_questions))


def _several_questions(count: int) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(texts(), min_size=count, max_size=count)
    return _questions(several, several)


def _questions(question: st.SearchStrategy[Any], context: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"question": question, "context": context},
        optional={
            "top_k": st.integers(1, MAX_ANSWERS),
            "max_seq_len": st.integers(min_value=400),
            "doc_stride": st.integers(0, 384),
            "max_answer_len": st.integers(min_value=1),
            "max_question_len": st.integers(min_value=1),
            "handle_impossible_answer": st.booleans(),
            "align_to_words": st.booleans(),
            "model": texts(max_size=200),
        },
    )
