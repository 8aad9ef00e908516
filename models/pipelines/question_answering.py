"""Extractive question answering as the ``question-answering`` pipeline of ``transformers`` 4.57 does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding

from models.engine.engine import Engine, EngineOptions, SequenceOutput, TokenSequence
from models.pipelines.base import FlatItem, Outcome, Pipeline
from models.pipelines.pair_template import PairTemplate
from models.pipelines.span_search import Spans, find_spans
from models.pipelines.windows import Window, plan_windows
from models.store import StoredModel
from producer.contract import (
    MAX_SEQUENCES,
    AnswerSpan,
    ErrorCode,
    InvalidRequest,
    QuestionAnsweringRequest,
    RequestError,
)

__all__ = ["QuestionAnsweringPipeline"]

Ints = npt.NDArray[np.intp]
_NO_ANSWER: AnswerSpan = {"score": 0.0, "start": 0, "end": 0, "answer": ""}


@dataclass(frozen=True)
class _Question(FlatItem):
    """One question with its context, one sequence per window."""

    request: QuestionAnsweringRequest
    context: str
    windows: Sequence[Window]
    #: Position of the context's first token in each sequence.
    context_starts: int
    #: First and last character of each token of the context, of shape (tokens, 2), in code points.
    characters: Ints
    #: Which word of the context each token belongs to; -1 for none.
    words: Ints


class QuestionAnsweringPipeline(Pipeline[QuestionAnsweringRequest, _Question]):
    """Finds answers as spans of a context, which may be longer than the model reads."""

    request_type = QuestionAnsweringRequest

    def __init__(self, model: StoredModel, options: EngineOptions, engine: Engine | None = None) -> None:
        super().__init__(model, options, engine)
        self._pairs = PairTemplate(self.tokenizer)
        names = self.engine.output_names
        self._logits = names.index("start_logits"), names.index("end_logits")

    def flatten(self, requests: Sequence[QuestionAnsweringRequest]) -> list[list[_Question | RequestError]]:
        """See :meth:`Pipeline.flatten`; a question or context is tokenized once, however many windows it has."""
        parts = list({part for request in requests for pair in request.items for part in pair})
        encoded = dict(zip(parts, self.tokenizer.encode_batch(parts, add_special_tokens=False), strict=True))
        return [self._items(request, encoded) for request in requests]

    def read(self, items: Sequence[_Question], outputs: Sequence[Sequence[SequenceOutput]]) -> list[Outcome]:
        """See :meth:`Pipeline.read`; an outcome is an :class:`AnswerSpan`, or a list of them when ``top_k`` > 1."""
        return [self._read(item, windows) for item, windows in zip(items, outputs, strict=True)]

    def _items(self, request: QuestionAnsweringRequest, encoded: dict[str, Encoding]) -> list[_Question | RequestError]:
        items: list[_Question | RequestError] = []
        left = MAX_SEQUENCES
        for question, context in request.items:
            item = self._item(request, encoded[question].ids, context, encoded[context], left)
            left -= len(item.sequences) if isinstance(item, _Question) else 0
            items.append(item)
        return items

    def _item(
        self, request: QuestionAnsweringRequest, question: list[int], context: str, encoding: Encoding, left: int
    ) -> _Question | RequestError:
        ids = encoding.ids
        try:
            windows = self._windows(request, len(question), len(ids), left)
        except InvalidRequest as error:
            return error
        return _Question(
            sequences=[self._pairs.join(question, ids[window.start : window.stop]) for window in windows],
            request=request,
            context=context,
            windows=windows,
            context_starts=self._pairs.second_starts(len(question)),
            characters=np.array(encoding.offsets, dtype=np.intp).reshape(-1, 2),
            words=np.array([-1 if word is None else word for word in encoding.word_ids], dtype=np.intp),
        )

    def _windows(self, request: QuestionAnsweringRequest, question: int, context: int, left: int) -> list[Window]:
        """Where to cut a context of so many tokens; raises InvalidRequest where it cannot be done."""
        longest, stride = request.window_tokens(self.max_length)
        beside = question + self._pairs.special_tokens
        if min(beside + context, longest) > self.max_length:
            raise _out_of_range("max_seq_len", "is more than the model reads", self.max_length)
        room = longest - beside
        if context <= room:
            return [Window(0, context)]
        if room < 1:
            raise InvalidRequest.of(
                ErrorCode.TOO_MANY_TOKENS,
                f"question: has {question} tokens, which leaves no room for the context in windows of {longest}",
                field="question",
                limit=max(longest - self._pairs.special_tokens - 1, 0),
            )
        if stride >= room:
            raise _out_of_range(
                "doc_stride", "must be less than what a window has room for beside the question", room - 1
            )
        windows = plan_windows(context, room, stride)
        if len(windows) > left:
            raise InvalidRequest.of(
                ErrorCode.TOO_MANY,
                f"context: is cut into {len(windows)} windows, a request may have {MAX_SEQUENCES} in all",
                field="context",
                limit=MAX_SEQUENCES,
            )
        return windows

    def _read(self, item: _Question, outputs: Sequence[SequenceOutput]) -> AnswerSpan | list[AnswerSpan]:
        request = item.request
        # Some spans fall together when they are widened to words.
        count = request.top_k * 2 + 10 if request.align_to_words else request.top_k
        answers: dict[str, AnswerSpan] = {}
        null_score = 1.0
        for window, sequence, output in zip(item.windows, item.sequences, outputs, strict=True):
            start, end = (output[index][: len(sequence.ids)] for index in self._logits)
            answerable = self._answerable(item, window, sequence)
            spans = find_spans(start, end, answerable, count, request.max_answer_len)
            null_score = min(null_score, spans.null_score)
            for first, last, score in _in_characters(item, window, spans):
                text = item.context[first:last]
                # The same words found twice are one answer, at the place where they were found first.
                known = answers.setdefault(text.lower(), {"score": 0.0, "start": first, "end": last, "answer": text})
                known["score"] += score
        ranked = list(answers.values())
        if request.handle_impossible_answer:
            ranked.append({**_NO_ANSWER, "score": null_score})
        ranked = sorted(ranked, key=lambda answer: -answer["score"])[: request.top_k]
        if request.top_k > 1:
            return ranked
        return ranked[0] if ranked else _NO_ANSWER

    def _answerable(self, item: _Question, window: Window, sequence: TokenSequence) -> npt.NDArray[np.bool_]:
        """The context's tokens, and the token that stands for "no answer" wherever it is."""
        answerable: npt.NDArray[np.bool_] = np.asarray(sequence.ids) == self._pairs.first_token
        answerable[item.context_starts : item.context_starts + len(window)] = True
        return answerable


def _in_characters(item: _Question, window: Window, spans: Spans) -> Iterator[tuple[int, int, float]]:
    """First and last character and score of each span, widened to whole words if the request says so."""
    if not len(window):
        yield from ((0, 0, float(score)) for score in spans.scores)
        return
    characters, words = item.characters[window.start : window.stop], item.words[window.start : window.stop]
    starts, ends = spans.starts - item.context_starts, spans.ends - item.context_starts
    # What lies before the context is the token for "no answer": it has no characters.
    before = starts < 0, ends < 0
    starts, ends = np.maximum(starts, 0), np.maximum(ends, 0)
    firsts = np.where(before[0], 0, characters[starts, 0])
    lasts = np.where(before[1], 0, characters[ends, 1])
    if item.request.align_to_words:
        # A word that the window cuts is as long as what the window has of it.
        aligned = ~before[0] & ~before[1] & (words[starts] >= 0) & (words[ends] >= 0)
        firsts = np.where(aligned, characters[np.searchsorted(words, words[starts], "left"), 0], firsts)
        lasts = np.where(aligned, characters[np.searchsorted(words, words[ends], "right") - 1, 1], lasts)
    yield from zip(firsts.tolist(), lasts.tolist(), spans.scores.tolist(), strict=True)


def _out_of_range(field: str, problem: str, limit: int) -> InvalidRequest:
    return InvalidRequest.of(
        ErrorCode.OUT_OF_RANGE, f"{field}: {problem}; the limit is {limit}", field=field, limit=limit
    )
