"""Extractive question answering as the ``question-answering`` pipeline of ``transformers`` 4.57 does it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding

from models.engine.engine import Engine, EngineOptions, SequenceOutput, TokenSequence
from models.pipelines.base import EncodedItem, Pipeline
from models.pipelines.classification_head import Scores
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
class _Question(EncodedItem):
    """One question with its context, as one sequence per window of the context.

    Attributes:
        request: whose parameters apply.
        context: the text.
        windows: the part of the context in each sequence.
        context_start: position of the context's first token in each sequence.
        characters: start and end of each token of the context, in code points, of shape (tokens, 2).
        words: index of the word that each token of the context belongs to, -1 for none, of shape (tokens,).
    """

    request: QuestionAnsweringRequest
    context: str
    windows: Sequence[Window]
    context_start: int
    characters: Ints
    words: Ints


class QuestionAnsweringPipeline(Pipeline[QuestionAnsweringRequest, _Question, AnswerSpan | list[AnswerSpan]]):
    """Finds answers as spans of a context, which may be longer than the model reads at once."""

    request_type = QuestionAnsweringRequest
    text_field = "context"

    def __init__(self, model: StoredModel, options: EngineOptions, engine: Engine | None = None) -> None:
        super().__init__(model, options, engine)
        self._pairs = PairTemplate(self.tokenizer)
        names = self.engine.output_names
        self._logit_indices = names.index("start_logits"), names.index("end_logits")

    def preprocess(self, requests: Sequence[QuestionAnsweringRequest]) -> list[list[_Question | RequestError]]:
        """See :meth:`Pipeline.preprocess`. Each question and each context is tokenized once."""
        parts = list({part for request in requests for pair in request.items for part in pair})
        encodings = dict(zip(parts, self.tokenizer.encode_batch(parts, add_special_tokens=False), strict=True))
        return [self._items(request, encodings) for request in requests]

    def postprocess(
        self, items: Sequence[_Question], outputs: Sequence[Sequence[SequenceOutput]]
    ) -> list[AnswerSpan | list[AnswerSpan]]:
        """See :meth:`Pipeline.postprocess`. A result is an :class:`AnswerSpan`, or a list of them if ``top_k`` > 1."""
        return [self._result(item, windows) for item, windows in zip(items, outputs, strict=True)]

    def logit_groups(self, item: _Question, outputs: Sequence[SequenceOutput]) -> list[Scores]:
        """See :meth:`Pipeline.logit_groups`. Each window has two, for the start and for the end of an answer.

        Only tokens that can be part of an answer count.
        """
        groups = []
        for window, sequence, output in zip(item.windows, item.sequences, outputs, strict=True):
            answerable = self._answerable(item, window, sequence)
            groups += [
                output[index][: len(sequence.ids)][answerable].astype(np.float64) for index in self._logit_indices
            ]
        return groups

    def _items(
        self, request: QuestionAnsweringRequest, encodings: dict[str, Encoding]
    ) -> list[_Question | RequestError]:
        items: list[_Question | RequestError] = []
        max_windows = MAX_SEQUENCES
        for question, context in request.items:
            item = self._item(request, encodings[question].ids, context, encodings[context], max_windows)
            max_windows -= len(item.sequences) if isinstance(item, _Question) else 0
            items.append(item)
        return items

    def _item(
        self, request: QuestionAnsweringRequest, question: list[int], context: str, encoding: Encoding, max_windows: int
    ) -> _Question | RequestError:
        ids = encoding.ids
        try:
            windows = self._windows(request, len(question), len(ids), max_windows)
        except InvalidRequest as error:
            return error
        return _Question(
            sequences=[self._pairs.join(question, ids[window.start : window.stop]) for window in windows],
            request=request,
            context=context,
            windows=windows,
            context_start=self._pairs.second_starts(len(question)),
            characters=np.array(encoding.offsets, dtype=np.intp).reshape(-1, 2),
            words=np.array([-1 if word is None else word for word in encoding.word_ids], dtype=np.intp),
        )

    def _windows(
        self, request: QuestionAnsweringRequest, question_tokens: int, context_tokens: int, max_windows: int
    ) -> list[Window]:
        """Split a context into windows.

        Raises:
            InvalidRequest: the question, the context or a parameter makes that impossible.
        """
        window_tokens, stride = request.window_tokens(self.max_length)
        other_tokens = question_tokens + self._pairs.special_tokens
        if min(other_tokens + context_tokens, window_tokens) > self.max_length:
            raise _out_of_range("max_seq_len", "is more than the model reads", self.max_length)
        max_context_tokens = window_tokens - other_tokens
        if context_tokens <= max_context_tokens:
            return [Window(0, context_tokens)]
        if max_context_tokens < 1:
            raise InvalidRequest.of(
                ErrorCode.TOO_MANY_TOKENS,
                f"question: has {question_tokens} tokens, which leaves no room for the context in windows of "
                f"{window_tokens}",
                field="question",
                limit=max(window_tokens - self._pairs.special_tokens - 1, 0),
            )
        if stride >= max_context_tokens:
            raise _out_of_range(
                "doc_stride",
                "must be less than the tokens that a window has left for the context",
                max_context_tokens - 1,
            )
        windows = plan_windows(context_tokens, max_context_tokens, stride)
        if len(windows) > max_windows:
            raise InvalidRequest.of(
                ErrorCode.TOO_MANY,
                f"context: is split into {len(windows)} windows; a request may have {MAX_SEQUENCES} in total",
                field="context",
                limit=MAX_SEQUENCES,
            )
        return windows

    def _result(self, item: _Question, outputs: Sequence[SequenceOutput]) -> AnswerSpan | list[AnswerSpan]:
        request = item.request
        # Some spans become equal when they are extended to whole words.
        count = request.top_k * 2 + 10 if request.align_to_words else request.top_k
        answers: dict[str, AnswerSpan] = {}
        null_score = 1.0
        for window, sequence, output in zip(item.windows, item.sequences, outputs, strict=True):
            start, end = (output[index][: len(sequence.ids)] for index in self._logit_indices)
            answerable = self._answerable(item, window, sequence)
            spans = find_spans(start, end, answerable, count, request.max_answer_len)
            null_score = min(null_score, spans.null_score)
            for first, last, score in _in_characters(item, window, spans):
                text = item.context[first:last]
                # The same words found several times are one answer, at the position where they were found first.
                answer = answers.setdefault(text.lower(), {"score": 0.0, "start": first, "end": last, "answer": text})
                answer["score"] += score
        ranked = list(answers.values())
        if request.handle_impossible_answer:
            ranked.append({**_NO_ANSWER, "score": null_score})
        ranked = sorted(ranked, key=lambda answer: -answer["score"])[: request.top_k]
        if request.top_k > 1:
            return ranked
        return ranked[0] if ranked else _NO_ANSWER

    def _answerable(self, item: _Question, window: Window, sequence: TokenSequence) -> npt.NDArray[np.bool_]:
        """Which tokens are part of the context, or the token that stands for "no answer"; of shape (tokens,)."""
        answerable: npt.NDArray[np.bool_] = np.asarray(sequence.ids) == self._pairs.first_token
        answerable[item.context_start : item.context_start + len(window)] = True
        return answerable


def _in_characters(item: _Question, window: Window, spans: Spans) -> Iterator[tuple[int, int, float]]:
    """Start, end and score of each span, in characters of the context; whole words if the request says so."""
    if not len(window):
        yield from ((0, 0, float(score)) for score in spans.scores)
        return
    characters, words = item.characters[window.start : window.stop], item.words[window.start : window.stop]
    starts, ends = spans.starts - item.context_start, spans.ends - item.context_start
    # A span that starts or ends before the context is the token for "no answer", which has no characters.
    before = starts < 0, ends < 0
    starts, ends = np.maximum(starts, 0), np.maximum(ends, 0)
    firsts = np.where(before[0], 0, characters[starts, 0])
    lasts = np.where(before[1], 0, characters[ends, 1])
    if item.request.align_to_words:
        # If the window cuts a word, the word is the part of it that is in the window.
        aligned = ~before[0] & ~before[1] & (words[starts] >= 0) & (words[ends] >= 0)
        firsts = np.where(aligned, characters[np.searchsorted(words, words[starts], "left"), 0], firsts)
        lasts = np.where(aligned, characters[np.searchsorted(words, words[ends], "right") - 1, 1], lasts)
    yield from zip(firsts.tolist(), lasts.tolist(), spans.scores.tolist(), strict=True)


def _out_of_range(field: str, problem: str, limit: int) -> InvalidRequest:
    return InvalidRequest.of(
        ErrorCode.OUT_OF_RANGE, f"{field}: {problem}; the limit is {limit}", field=field, limit=limit
    )
