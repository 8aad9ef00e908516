"""The calls of the client that return a handle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

from producer.contract import AnswerSpan, ItemFailure, LabelScore, QueueClass, ZeroShotResult
from producer.contract.requests.long_text import CombineWindows, Truncation
from producer.handles import RequestHandle
from producer.message import Submission
from producer.sender import Sender
from producer.tasks import (
    FunctionToApply,
    TextLike,
    question_answering,
    text_classification,
    zero_shot_classification,
)

__all__ = ["SubmittingClient"]


class SubmittingClient(Sender):
    """The calls that enqueue a typed request and return its handle, as part of the client."""

    @overload
    def submit_classify(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too; this one comes first
        self,
        inputs: TextLike,
        *,
        top_k: int | None = 1,
        function_to_apply: FunctionToApply | None = None,
        truncation: Truncation = True,
        combine_windows: CombineWindows = "mean",
        max_seq_len: int | None = None,
        doc_stride: int = 128,
        model: str | None = None,
        queue_class: QueueClass = QueueClass.INTERACTIVE,
        expires_s: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> RequestHandle[list[LabelScore]]: ...

    @overload
    def submit_classify(
        self,
        inputs: Sequence[TextLike],
        *,
        top_k: int | None = 1,
        function_to_apply: FunctionToApply | None = None,
        truncation: Truncation = True,
        combine_windows: CombineWindows = "mean",
        max_seq_len: int | None = None,
        doc_stride: int = 128,
        model: str | None = None,
        queue_class: QueueClass = QueueClass.INTERACTIVE,
        expires_s: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> RequestHandle[list[list[LabelScore] | ItemFailure]]: ...

    def submit_classify(
        self,
        inputs: TextLike | Sequence[TextLike],
        *,
        top_k: int | None = 1,
        function_to_apply: FunctionToApply | None = None,
        truncation: Truncation = True,
        combine_windows: CombineWindows = "mean",
        max_seq_len: int | None = None,
        doc_stride: int = 128,
        model: str | None = None,
        queue_class: QueueClass = QueueClass.INTERACTIVE,
        expires_s: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> RequestHandle[list[LabelScore] | list[list[LabelScore] | ItemFailure]]:
        """Enqueue the request of :meth:`classify`, and return its handle.

        Args:
            inputs: a text, ``{"text": …, "text_pair": …}``, or a list of up to 64 of those.
            top_k: how many labels to return, best first; None returns all.
            function_to_apply: the function that turns logits into scores; None for the one that fits the model.
            truncation: what becomes of a text that is longer than the model's input: True cuts it, False makes it an
                error, "windows" has the model read all of it in overlapping windows. Of a pair, the longer text.
            combine_windows: "mean" averages the windows' scores; "max" takes those of the most certain window, or the
                highest score of each label if the labels do not compete.
            max_seq_len: maximum length of a window, in tokens; None for what the model reads.
            doc_stride: overlap between windows, in tokens. At the default, at most half a window.
            model: name of the model to use; None for the worker's default for the task.
            queue_class: interactive requests are served before bulk requests.
            expires_s: seconds from now after which no worker may start the request; None for no limit.
            request_id: an id of your own; as for :meth:`submit`.
            timeout_s: how long enqueueing may take, in seconds; None for the client's default.

        Raises:
            InvalidRequest: the request breaks the contract.
            BrokerUnavailable: the broker did not confirm in time, or refused the credentials.
        """
        request = text_classification(
            inputs,
            top_k=top_k,
            function_to_apply=function_to_apply,
            truncation=truncation,
            combine_windows=combine_windows,
            max_seq_len=max_seq_len,
            doc_stride=doc_stride,
            model=model,
        )
        return self._submit_for_handle(Submission(request, queue_class, expires_s, request_id), timeout_s)

    @overload
    def submit_classify_zero_shot(  # type: ignore[overload-overlap]
        self,
        inputs: str,
        candidate_labels: str | Sequence[str],
        *,
        hypothesis_template: str = "This example is {}.",
        multi_label: bool = False,
        truncation: Truncation = True,
        combine_windows: CombineWindows = "mean",
        max_seq_len: int | None = None,
        doc_stride: int = 128,
        model: str | None = None,
        queue_class: QueueClass = QueueClass.INTERACTIVE,
        expires_s: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> RequestHandle[ZeroShotResult]: ...

    @overload
    def submit_classify_zero_shot(
        self,
        inputs: Sequence[str],
        candidate_labels: str | Sequence[str],
        *,
        hypothesis_template: str = "This example is {}.",
        multi_label: bool = False,
        truncation: Truncation = True,
        combine_windows: CombineWindows = "mean",
        max_seq_len: int | None = None,
        doc_stride: int = 128,
        model: str | None = None,
        queue_class: QueueClass = QueueClass.INTERACTIVE,
        expires_s: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> RequestHandle[list[ZeroShotResult | ItemFailure]]: ...

    def submit_classify_zero_shot(
        self,
        inputs: str | Sequence[str],
        candidate_labels: str | Sequence[str],
        *,
        hypothesis_template: str = "This example is {}.",
        multi_label: bool = False,
        truncation: Truncation = True,
        combine_windows: CombineWindows = "mean",
        max_seq_len: int | None = None,
        doc_stride: int = 128,
        model: str | None = None,
        queue_class: QueueClass = QueueClass.INTERACTIVE,
        expires_s: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> RequestHandle[ZeroShotResult | list[ZeroShotResult | ItemFailure]]:
        """Enqueue the request of :meth:`classify_zero_shot`, and return its handle.

        Args:
            inputs: a text, or a list of up to 64.
            candidate_labels: up to 100 labels, as a list or as one comma-separated string.
            hypothesis_template: the sentence to test for each label; ``{}`` stands for the label.
            multi_label: score each label independently; if False, the scores sum to 1.
            truncation: what becomes of a text that is longer than the model's input, as for :meth:`submit_classify`.
            combine_windows: "mean" averages the windows' scores; "max" takes those of the most certain window, or the
                highest score of each label with ``multi_label``.
            max_seq_len: maximum length of a window, in tokens; None for what the model reads.
            doc_stride: overlap between windows, in tokens. At the default, at most half a window.
            model: name of the model to use; None for the worker's default for the task.
            queue_class: interactive requests are served before bulk requests.
            expires_s: seconds from now after which no worker may start the request; None for no limit.
            request_id: an id of your own; as for :meth:`submit`.
            timeout_s: how long enqueueing may take, in seconds; None for the client's default.

        Raises:
            InvalidRequest: the request breaks the contract.
            BrokerUnavailable: the broker did not confirm in time, or refused the credentials.
        """
        request = zero_shot_classification(
            inputs,
            candidate_labels,
            hypothesis_template=hypothesis_template,
            multi_label=multi_label,
            truncation=truncation,
            combine_windows=combine_windows,
            max_seq_len=max_seq_len,
            doc_stride=doc_stride,
            model=model,
        )
        return self._submit_for_handle(Submission(request, queue_class, expires_s, request_id), timeout_s)

    @overload
    def submit_answer(  # type: ignore[overload-overlap]
        self,
        question: str,
        context: str,
        *,
        top_k: Literal[1] = 1,
        max_seq_len: int = 384,
        doc_stride: int = 128,
        max_answer_len: int = 15,
        max_question_len: int = 64,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
        model: str | None = None,
        queue_class: QueueClass = QueueClass.INTERACTIVE,
        expires_s: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> RequestHandle[AnswerSpan]: ...

    @overload
    def submit_answer(  # type: ignore[overload-overlap]
        self,
        question: str,
        context: str,
        *,
        top_k: int,
        max_seq_len: int = 384,
        doc_stride: int = 128,
        max_answer_len: int = 15,
        max_question_len: int = 64,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
        model: str | None = None,
        queue_class: QueueClass = QueueClass.INTERACTIVE,
        expires_s: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> RequestHandle[AnswerSpan | list[AnswerSpan]]: ...

    @overload
    def submit_answer(
        self,
        question: Sequence[str],
        context: Sequence[str],
        *,
        top_k: int = 1,
        max_seq_len: int = 384,
        doc_stride: int = 128,
        max_answer_len: int = 15,
        max_question_len: int = 64,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
        model: str | None = None,
        queue_class: QueueClass = QueueClass.INTERACTIVE,
        expires_s: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> RequestHandle[list[AnswerSpan | list[AnswerSpan] | ItemFailure]]: ...

    def submit_answer(
        self,
        question: str | Sequence[str],
        context: str | Sequence[str],
        *,
        top_k: int = 1,
        max_seq_len: int = 384,
        doc_stride: int = 128,
        max_answer_len: int = 15,
        max_question_len: int = 64,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
        model: str | None = None,
        queue_class: QueueClass = QueueClass.INTERACTIVE,
        expires_s: float | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> RequestHandle[AnswerSpan | list[AnswerSpan] | list[AnswerSpan | list[AnswerSpan] | ItemFailure]]:
        """Enqueue the request of :meth:`answer`, and return its handle.

        Args:
            question: a question, or a list of up to 64.
            context: the text that contains the answer, or a list with one context per question.
            top_k: how many answers to return at most.
            max_seq_len: maximum window of question and context together, in tokens. At the default, a model with a
                shorter input gets windows of that length.
            doc_stride: overlap between the windows of a long context, in tokens. At the default, at most half a window.
            max_answer_len: maximum length of an answer, in tokens.
            max_question_len: accepted without effect, as in ``transformers``: questions are never truncated.
            handle_impossible_answer: also consider that the context has no answer: an empty answer at position 0.
            align_to_words: extend answers to whole words.
            model: name of the model to use; None for the worker's default for the task.
            queue_class: interactive requests are served before bulk requests.
            expires_s: seconds from now after which no worker may start the request; None for no limit.
            request_id: an id of your own; as for :meth:`submit`.
            timeout_s: how long enqueueing may take, in seconds; None for the client's default.

        Raises:
            InvalidRequest: the request breaks the contract.
            BrokerUnavailable: the broker did not confirm in time, or refused the credentials.
        """
        request = question_answering(
            question,
            context,
            top_k=top_k,
            max_seq_len=max_seq_len,
            doc_stride=doc_stride,
            max_answer_len=max_answer_len,
            max_question_len=max_question_len,
            handle_impossible_answer=handle_impossible_answer,
            align_to_words=align_to_words,
            model=model,
        )
        return self._submit_for_handle(Submission(request, queue_class, expires_s, request_id), timeout_s)
