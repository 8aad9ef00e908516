"""Documents that are longer than the bundled models read: cut, refused, or read in windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.pipelines.base import AnyPipeline, EncodedItem
from models.pipelines.classification_head import SCORE_FUNCTIONS
from producer.contract import (
    MAX_SEQUENCES,
    ErrorCode,
    InvalidRequest,
    Request,
    TextClassificationRequest,
    ZeroShotClassificationRequest,
)

WORDS = 5_000
#: Sentences that tell nothing. The sentiment of the second is a mild "positive", that of the first a mild "negative".
MINUTES = "The committee met on Tuesday and the minutes were filed."
CHAPTERS = "Chapter nine follows chapter eight and precedes chapter ten."
BOX = "The box is on the table next to the lamp."
GOOD = "I loved every minute of it, a wonderful masterpiece!"
BAD = "It was terrible, boring and a complete waste of time."
SOUP = "This soup is delicious, I loved it."
TOPICS = ["business", "food", "science"]
MODEL_READS = 512
#: Most tokens of a text alone, and of a pair.
ALONE, PAIR = MODEL_READS - 2, MODEL_READS - 3
COMBINATIONS = ["mean", "max"]


def document(sentence: str, end: str, words: int = WORDS) -> str:
    """A document of this many words: one sentence again and again, and another one at the end."""
    filler = words - len(end.split())
    repeated = sentence.split() * (filler // len(sentence.split()) + 1)
    return " ".join([*repeated[:filler], *end.split()])


def classification(inputs: Any, **parameters: Any) -> Request:
    return TextClassificationRequest.parse({"inputs": inputs, "top_k": None, **parameters})


def zero_shot_classification(inputs: Any, labels: Any = TOPICS, **parameters: Any) -> Request:
    return ZeroShotClassificationRequest.parse({"inputs": inputs, "candidate_labels": labels, **parameters})


def answer(pipeline: AnyPipeline, request: Request) -> Any:
    """The result of a request's only item, or its error."""
    ((result,),) = pipeline.answer([request])
    return result


def scores(pipeline: AnyPipeline, request: Request) -> dict[str, float]:
    """The score of every label, best first."""
    result = answer(pipeline, request)
    if isinstance(result, dict):
        return dict(zip(result["labels"], result["scores"], strict=True))
    return {entry["label"]: entry["score"] for entry in result}


def refusal(pipeline: AnyPipeline, request: Request) -> tuple[ErrorCode, str | None, Any]:
    error = answer(pipeline, request)
    assert isinstance(error, InvalidRequest)
    assert error.message.startswith(f"{error.field}: ")
    assert str(error.limit) in error.message
    return error.code, error.field, error.limit


def sequences(pipeline: AnyPipeline, request: Request) -> list[Any]:
    """What the model reads for a request's only item."""
    ((item,),) = pipeline.preprocess([request])
    assert isinstance(item, EncodedItem)
    return list(item.sequences)


@pytest.mark.parametrize(
    ("sentence", "end", "label"), [(MINUTES, GOOD, "POSITIVE"), (CHAPTERS, BAD, "NEGATIVE")], ids=["good", "bad"]
)
def test_only_windows_see_what_the_last_sentence_of_a_long_document_tells(
    pipeline: AnyPipeline, sentence: str, end: str, label: str
) -> None:
    telling, telling_nothing = document(sentence, end), document(sentence, "")
    assert len(telling.split()) == WORDS
    cut = scores(pipeline, classification(telling))
    mean, most_certain = (
        scores(pipeline, classification(telling, truncation="windows", combine_windows=how)) for how in COMBINATIONS
    )

    assert cut == scores(pipeline, classification(telling_nothing))
    assert next(iter(cut)) != label
    # The other windows outvote the last one, but it counts.
    assert mean[label] > cut[label] + 0.02
    assert next(iter(most_certain)) == label
    assert most_certain[label] > 0.9
    assert sum(most_certain.values()) == pytest.approx(1) == sum(mean.values())


@pytest.mark.parametrize("multi_label", [False, True])
def test_only_windows_see_the_topic_of_the_last_sentence_of_a_long_document(
    zero_shot: AnyPipeline, multi_label: bool
) -> None:
    telling, telling_nothing = document(BOX, SOUP), document(BOX, "")
    # In a window of 512 tokens, the one sentence tells this model too little.
    parameters = {"multi_label": multi_label, "max_seq_len": 128, "doc_stride": 16}
    cut = scores(zero_shot, zero_shot_classification(telling, **parameters))
    mean, most_certain = (
        scores(zero_shot, zero_shot_classification(telling, truncation="windows", combine_windows=how, **parameters))
        for how in COMBINATIONS
    )

    assert cut == scores(zero_shot, zero_shot_classification(telling_nothing, **parameters))
    assert next(iter(cut)) != "food"
    assert next(iter(most_certain)) == "food"
    assert most_certain["food"] > mean["food"] + 0.1
    if not multi_label:
        assert sum(most_certain.values()) == pytest.approx(1) == sum(mean.values())


@pytest.mark.parametrize("how", COMBINATIONS)
@pytest.mark.parametrize(
    "inputs",
    [
        "a",
        GOOD,
        "good " * ALONE,
        {"text": GOOD, "text_pair": "good " * (PAIR - 11)},
        {"text": "a " * 255, "text_pair": "b " * 254},
    ],
    ids=lambda value: str(value)[:12],
)
def test_what_fits_into_one_window_is_answered_as_without_windows(pipeline: AnyPipeline, inputs: Any, how: str) -> None:
    for function in SCORE_FUNCTIONS:
        with_windows = classification(inputs, truncation="windows", combine_windows=how, function_to_apply=function)
        assert len(sequences(pipeline, with_windows)) == 1
        assert answer(pipeline, with_windows) == answer(pipeline, classification(inputs, function_to_apply=function))


@pytest.mark.parametrize("how", COMBINATIONS)
@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("words", [1, 200, PAIR - 10])
def test_a_text_that_fits_beside_the_longest_hypothesis_has_the_topics_that_it_has_without_windows(
    zero_shot: AnyPipeline, words: int, multi_label: bool, how: str
) -> None:
    labels = ["a", "b " * 10]
    parameters: dict[str, Any] = {"labels": labels, "hypothesis_template": "{}", "multi_label": multi_label}
    text = "soup " * words
    with_windows = zero_shot_classification(text, truncation="windows", combine_windows=how, **parameters)
    assert len(sequences(zero_shot, with_windows)) == len(labels)
    assert answer(zero_shot, with_windows) == answer(zero_shot, zero_shot_classification(text, **parameters))


def test_windows_are_those_of_the_tokenizer_and_the_shorter_text_of_a_pair_is_in_each(pipeline: AnyPipeline) -> None:
    tokenizer = pipeline.tokenizer
    long, short = document(CHAPTERS, BAD, 1_500), GOOD
    for inputs, strategy in (((long,), "longest_first"), ((long, short), "only_first"), ((short, long), "only_second")):
        given: Any = long if len(inputs) == 1 else dict(zip(("text", "text_pair"), inputs, strict=True))
        ours = sequences(pipeline, classification(given, truncation="windows", doc_stride=100))
        tokenizer.enable_truncation(MODEL_READS, stride=100, strategy=strategy)
        first = tokenizer.encode(*inputs)
        tokenizer.enable_truncation(MODEL_READS)
        assert ours == [(encoding.ids, encoding.type_ids) for encoding in (first, *first.overflowing)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_windows_change_nothing_of_how_the_next_text_is_cut(pipeline: AnyPipeline, side: str) -> None:
    text = document(CHAPTERS, BAD, 900)
    windows = sequences(pipeline, classification(text, truncation="windows"))
    pipeline.tokenizer.enable_truncation(MODEL_READS, direction=side)
    cut = sequences(pipeline, classification(text))
    try:
        assert sequences(pipeline, classification(text, truncation="windows")) == windows
        assert sequences(pipeline, classification(text)) == cut
    finally:
        pipeline.tokenizer.enable_truncation(MODEL_READS)
    assert (cut == windows[:1]) == (side == "right")


def test_every_hypothesis_is_tested_on_the_same_windows(zero_shot: AnyPipeline) -> None:
    labels = ["a", "b " * 60, "public health"]
    request = zero_shot_classification(
        document(BOX, SOUP, 1_500), labels, hypothesis_template="{}", truncation="windows", doc_stride=0
    )
    found = sequences(zero_shot, request)
    hypotheses = [zero_shot.tokenizer.encode(label).ids[1:] for label in labels]
    texts = []
    for index, sequence in enumerate(found):
        hypothesis = hypotheses[index % len(labels)]
        assert sequence.ids[-len(hypothesis) :] == hypothesis
        texts.append(sequence.ids[1 : -len(hypothesis) - 1])
    assert texts[0 :: len(labels)] == texts[1 :: len(labels)] == texts[2 :: len(labels)]
    assert len(found[1].ids) == MODEL_READS
    whole = zero_shot.tokenizer.encode(document(BOX, SOUP, 1_500), add_special_tokens=False).ids
    assert [token for text in texts[:: len(labels)] for token in text] == whole


@pytest.mark.parametrize("function", SCORE_FUNCTIONS)
def test_the_function_is_applied_to_each_window_before_their_scores_become_one(
    pipeline: AnyPipeline, function: str
) -> None:
    text = document(CHAPTERS, BAD, 1_000)
    request = classification(text, truncation="windows")
    logits = np.array([output[0] for output in pipeline.engine.compute(sequences(pipeline, request))], np.float64)
    windows = SCORE_FUNCTIONS[function](logits)
    assert len(windows) > 2
    best = windows[windows.max(axis=1).argmax()] if function == "softmax" else windows.max(axis=0)
    for how, wanted in (("mean", windows.mean(axis=0)), ("max", best)):
        parameters = {"combine_windows": how, "function_to_apply": function}
        found = scores(pipeline, classification(text, truncation="windows", **parameters))
        assert [found["NEGATIVE"], found["POSITIVE"]] == wanted.tolist()


def mixed(make: Any) -> list[Request]:
    """Requests with and without windows, for one text and several."""
    long, longer = document(CHAPTERS, BAD, 700), document(BOX, SOUP, 1_300)
    windows = {"truncation": "windows"}
    return [
        make(long, **windows),
        make(long),
        make([GOOD, longer, "a"], **windows, combine_windows="max"),
        make(longer, **windows, doc_stride=40),
        make([long, BAD], truncation=False),
        make(GOOD, **windows),
        make("good " * 500, **windows),
    ]


@pytest.mark.parametrize("task", ["text", "zero-shot"])
def test_answers_together_are_those_of_each_request_alone_to_the_last_bit(
    pipeline: AnyPipeline, zero_shot: AnyPipeline, task: str
) -> None:
    loaded, make = (pipeline, classification) if task == "text" else (zero_shot, zero_shot_classification)
    requests = mixed(make)
    counts: list[int] = []
    together = loaded.answer(requests, counts)
    for request, results, count in zip(requests, together, counts, strict=True):
        alone: list[int] = []
        assert repr(loaded.answer([request], alone)) == repr([results])
        assert alone == [count]


def test_the_shorter_text_of_a_pair_may_take_three_quarters_of_what_the_model_reads(pipeline: AnyPipeline) -> None:
    limit = PAIR - PAIR // 4
    for parts in (("a " * 400, "b " * (limit + 1)), ("b " * (limit + 1), "a " * 400)):
        pair = dict(zip(("text", "text_pair"), parts, strict=True))
        request = classification(pair, truncation="windows")
        assert refusal(pipeline, request) == (ErrorCode.TOO_MANY_TOKENS, "inputs", limit)
    fitting = classification({"text": "a " * 400, "text_pair": "b " * limit}, truncation="windows")
    assert len(sequences(pipeline, fitting)) > 1


def test_a_hypothesis_may_take_three_quarters_of_what_the_model_reads_of_a_long_text(zero_shot: AnyPipeline) -> None:
    limit = PAIR - PAIR // 4

    def request(tokens: int) -> Request:
        template = "{0}{0}" + " b" * (tokens - 200)
        return zero_shot_classification("a " * 400, ["a " * 100], hypothesis_template=template, truncation="windows")

    assert refusal(zero_shot, request(limit + 1)) == (ErrorCode.TOO_MANY_TOKENS, "candidate_labels", limit)
    assert len(sequences(zero_shot, request(limit))) > 1


def test_an_overlap_of_more_than_half_a_window_is_an_error_of_long_texts_only(pipeline: AnyPipeline) -> None:
    parameters: dict[str, Any] = {"truncation": "windows", "doc_stride": ALONE // 2 + 1}
    request = classification("a " * 600, **parameters)
    assert refusal(pipeline, request) == (ErrorCode.OUT_OF_RANGE, "doc_stride", ALONE // 2)
    assert answer(pipeline, classification("a " * ALONE, **parameters))[0]["score"] > 0.5


@pytest.mark.parametrize("length", [32, 100, MODEL_READS])
def test_windows_are_as_long_as_the_request_says(pipeline: AnyPipeline, zero_shot: AnyPipeline, length: int) -> None:
    text, windows = "a " * 600, {"truncation": "windows", "max_seq_len": length, "doc_stride": 7}
    for loaded, request in (
        (pipeline, classification(text, **windows)),
        (pipeline, classification({"text": "b", "text_pair": text}, **windows)),
        (zero_shot, zero_shot_classification(text, ["b"], hypothesis_template="{}", **windows)),
    ):
        *full, last = [len(sequence.ids) for sequence in sequences(loaded, request)]
        assert set(full) == {length}
        assert last <= length
    fitting = "a " * (length - 2)
    with_windows, alone = (classification(fitting, **parameters) for parameters in (windows, {}))
    assert sequences(pipeline, with_windows) == sequences(pipeline, alone)
    assert len(sequences(pipeline, classification(f"{fitting} a", **windows))) == 2
    # Without windows, their length means nothing.
    assert sequences(pipeline, classification(text, max_seq_len=length)) == sequences(pipeline, classification(text))


def test_windows_longer_than_the_model_reads_are_an_error_of_long_texts_only(
    pipeline: AnyPipeline, zero_shot: AnyPipeline
) -> None:
    windows: dict[str, Any] = {"truncation": "windows", "max_seq_len": MODEL_READS + 1}
    for loaded, make in ((pipeline, classification), (zero_shot, zero_shot_classification)):
        error = (ErrorCode.OUT_OF_RANGE, "max_seq_len", MODEL_READS)
        assert refusal(loaded, make("a " * 600, **windows)) == error
        assert answer(loaded, make(GOOD, **windows)) == answer(loaded, make(GOOD))


def test_more_windows_than_a_request_may_have_are_an_error_of_that_text_only(zero_shot: AnyPipeline) -> None:
    labels = [f"{number}" for number in range(100)]
    # 16 windows with 100 labels each; with the next one there would be more than 2,000 sequences.
    long, short = "a " * 7_700, "b"
    request = zero_shot_classification(
        [short, long, long, short], labels, hypothesis_template="{}", truncation="windows", doc_stride=0
    )
    ((first, second, third, fourth),) = zero_shot.preprocess([request])
    assert [len(item.sequences) for item in (first, second, fourth) if isinstance(item, EncodedItem)] == [
        100,
        1600,
        100,
    ]
    assert isinstance(third, InvalidRequest)
    assert (third.code, third.field, third.limit) == (ErrorCode.TOO_MANY, "inputs", MAX_SEQUENCES)


def test_without_truncation_a_long_text_is_an_error_of_zero_shot_classification_too(zero_shot: AnyPipeline) -> None:
    fitting = "a " * (PAIR - 10)
    parameters: dict[str, Any] = {"labels": ["b " * 10, "c"], "hypothesis_template": "{}", "truncation": False}
    request = zero_shot_classification(f"{fitting}a", **parameters)
    assert refusal(zero_shot, request) == (ErrorCode.TOO_MANY_TOKENS, "inputs", PAIR - 10)
    whole = zero_shot_classification(fitting, **parameters)
    assert answer(zero_shot, whole) == answer(
        zero_shot, zero_shot_classification(fitting, **parameters | {"truncation": True})
    )
