"""The probes of each task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.engine.batching import BatchingOptions
from models.prepare.check.probe_texts import unusual_texts
from models.prepare.check.probes import MAX_COMPUTED_TOKENS, Probe, batch_probes, length_probes
from models.prepare.check.texts import TextMaker
from producer.contract import (
    QuestionAnsweringRequest,
    Request,
    TaskName,
    TextClassificationRequest,
    ZeroShotClassificationRequest,
)

__all__ = ["CountTokens", "probes_of"]

#: Counts the tokens of a text and its pair, special tokens included.
CountTokens = Callable[[str, str | None], int]

_UNUSUAL = 6
_QUESTION = "what was it?"
_LABEL, _TEMPLATE = "food", "This example is {}."
_HYPOTHESIS = _TEMPLATE.format(_LABEL)


def probes_of(
    task: TaskName, count_tokens: CountTokens, max_length: int, batching: BatchingOptions, special_tokens: list[str]
) -> list[Probe]:
    """The probes of a task.

    Args:
        task: the task.
        count_tokens: as the published tokenizer counts.
        max_length: longest sequence that the model reads, in tokens.
        batching: how sequences are batched.
        special_tokens: the texts of the special tokens, which occur in requests too.
    """
    if task is TaskName.QUESTION_ANSWERING:
        return _questions(TextMaker(lambda text: count_tokens(_QUESTION, text)), max_length, batching)
    texts = TextMaker(lambda text: count_tokens(text, None))
    pairs = TextMaker(lambda text: count_tokens(text, _HYPOTHESIS))
    further = [*_pairs(texts, pairs, max_length), *_oddities(texts, special_tokens)]
    if task is TaskName.ZERO_SHOT_CLASSIFICATION:
        return [*_zero_shot(pairs, max_length, batching), *further]
    return [
        *length_probes(texts, _classify, max_length, batching),
        *batch_probes(texts, _classify, max_length, batching),
        *further,
    ]


def _classify(text: str, pair: str | None = None, **parameters: Any) -> TextClassificationRequest:
    inputs = text if pair is None else {"text": text, "text_pair": pair}
    return TextClassificationRequest.parse({"inputs": inputs, "top_k": None, **parameters})


def _pairs(texts: TextMaker, pairs: TextMaker, max_length: int) -> list[Probe]:
    short = pairs.of_tokens(pairs.shortest_tokens + 6)
    several = [pairs.of_tokens(pairs.shortest_tokens + number) for number in range(4)]
    # A pair beside texts of its length: their special tokens differ in number.
    alike = [texts.of_tokens(pairs.shortest_tokens + number) for number in range(4)]
    long = texts.of_tokens(max_length)
    return [
        Probe("a pair of texts", [_classify(short, _HYPOTHESIS)]),
        Probe(
            "pairs and texts of one length",
            [*(_classify(text, _HYPOTHESIS) for text in several), *map(_classify, alike)],
        ),
        Probe("a pair whose first text is cut off", [_classify(long, _HYPOTHESIS)], is_computed=False),
        Probe("a pair whose second text is cut off", [_classify(short, long)], is_computed=False),
        Probe("a pair of which both texts are cut off", [_classify(long, long)], is_computed=False),
    ]


def _oddities(texts: TextMaker, special_tokens: list[str]) -> list[Probe]:
    word = texts.of_tokens(texts.shortest_tokens)
    named = [f"{word} {token} {word}" for token in special_tokens] + [f"{word} {token}" for token in special_tokens]
    raw = [_classify(texts.of_tokens(texts.shortest_tokens + 5), function_to_apply="none")]
    return [
        Probe("unusual characters", [_classify(text) for text in unusual_texts()[:_UNUSUAL]]),
        Probe("texts that name special tokens", [_classify(text) for text in named]),
        Probe("logits instead of scores", raw),
        Probe("a text in capitals", [_classify(word.upper() + " A FILM")]),
        Probe("one word many times", [_classify("good " * 10)]),
    ]


def _zero_shot(texts: TextMaker, max_length: int, batching: BatchingOptions) -> list[Probe]:
    def ask(text: str, *labels: str, multi_label: bool = False) -> Request:
        fields = {"inputs": text, "candidate_labels": list(labels or [_LABEL]), "hypothesis_template": _TEMPLATE}
        return ZeroShotClassificationRequest.parse({**fields, "multi_label": multi_label})

    def ask_one(text: str) -> Request:
        return ask(text)

    short = texts.of_tokens(texts.shortest_tokens + 9)
    nine = ["food", "film", "news", "war", "art", "law", "work", "home", "school"]
    return [
        *length_probes(texts, ask_one, max_length, batching),
        *batch_probes(texts, ask_one, max_length, batching),
        Probe("three labels of which one is right", [ask(short, "food", "film", "breaking news")]),
        Probe("three labels of which any may be right", [ask(short, *nine[:3], multi_label=True)]),
        Probe("nine labels", [ask(short, *nine)]),
        Probe("nine labels of which any may be right", [ask("a film", *nine, multi_label=True)]),
        Probe("texts with other labels, together", [ask(short, *nine[:2]), ask("a", *nine[2:5]), ask(short, nine[5])]),
        Probe("unusual characters", [ask(text, "food", "film") for text in unusual_texts()[:_UNUSUAL]]),
    ]


def _questions(texts: TextMaker, max_length: int, batching: BatchingOptions) -> list[Probe]:
    longest = min(max_length, MAX_COMPUTED_TOKENS)

    def ask(context: str, question: str = _QUESTION, **parameters: Any) -> Request:
        fields = {"question": question, "context": context, "max_seq_len": longest, "top_k": 3}
        return QuestionAnsweringRequest.parse({**fields, **parameters})

    short, long = texts.of_tokens(longest // 3), texts.of_tokens(2 * longest)
    window = max(texts.shortest_tokens + 8, longest // 4)
    return [
        *(probe for probe in length_probes(texts, ask, longest, batching) if probe.is_computed),
        *batch_probes(texts, ask, longest, batching),
        Probe("the best answer alone", [ask(short, top_k=1)]),
        Probe("ten answers", [ask(short, top_k=10)]),
        Probe("a context of one word", [ask("a")]),
        Probe("a question that its context repeats", [ask(f"{_QUESTION} {_QUESTION} it was a film.")]),
        Probe("an answer that may be missing", [ask(short, handle_impossible_answer=True)]),
        Probe("answers that need not be whole words", [ask(short, align_to_words=False)]),
        Probe("answers of one token", [ask(short, max_answer_len=1)]),
        Probe("a long question", [ask(short, texts.of_tokens(longest // 3))]),
        Probe("windows as long as the model reads", [ask(long, doc_stride=2)]),
        Probe("short windows", [ask(short, max_seq_len=window, doc_stride=2)]),
        Probe("contexts of several lengths, together", [ask(short), ask("a film"), ask(short, "who?")]),
        Probe("unusual characters", [ask(text) for text in unusual_texts()[:_UNUSUAL]]),
    ]
