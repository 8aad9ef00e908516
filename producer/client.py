"""The client that other services use: typed calls, each of which ends by its deadline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeGuard, overload

from producer.contract import (
    AnswerSpan,
    ItemFailure,
    LabelScore,
    QuestionAnsweringRequest,
    TextClassificationRequest,
    TextInput,
    ZeroShotClassificationRequest,
    ZeroShotResult,
)
from producer.contract.requests.base import Request
from producer.sender import Answer, Sender

__all__ = ["Answer", "Client"]

TextLike = str | TextInput | Mapping[str, str]
#: Python takes these for sequences too; none is a list of inputs.
_NO_LIST = (str, bytes, bytearray, memoryview)
FunctionToApply = Literal["sigmoid", "softmax", "none"]


class Client(Sender):
    """Asks the workers; :class:`~producer.sender.Sender` has what it is made from, and the calls without a task.

    A parameter that has its default value is not sent: the worker applies the same default.
    """

    @overload
    def classify(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too; this one comes first
        self,
        inputs: TextLike,
        *,
        top_k: int | None = 1,
        function_to_apply: FunctionToApply | None = None,
        truncation: bool = True,
        model: str | None = None,
        timeout_s: float | None = None,
    ) -> list[LabelScore]: ...

    @overload
    def classify(
        self,
        inputs: Sequence[TextLike],
        *,
        top_k: int | None = 1,
        function_to_apply: FunctionToApply | None = None,
        truncation: bool = True,
        model: str | None = None,
        timeout_s: float | None = None,
    ) -> list[list[LabelScore] | ItemFailure]: ...

    def classify(
        self,
        inputs: TextLike | Sequence[TextLike],
        *,
        top_k: int | None = 1,
        function_to_apply: FunctionToApply | None = None,
        truncation: bool = True,
        model: str | None = None,
        timeout_s: float | None = None,
    ) -> list[LabelScore] | list[list[LabelScore] | ItemFailure]:
        """Label one text or several, and wait for the answer.

        A request that no worker has begun when the time is up is dropped: nobody would read its answer.

        Args:
            inputs: a text, ``{"text": …, "text_pair": …}``, or a list of up to 64 of those.
            top_k: how many labels to return, best first; None returns all.
            function_to_apply: what turns logits into scores; None takes what the model's head calls for.
            truncation: cut texts longer than the model reads; False makes such a text an error.
            model: name of the model to use; None takes the worker's default for the task.
            timeout_s: seconds that the whole call may take; None takes the client's.

        Returns:
            The labels of one input, best first; for a list, a list of those, with ``{"error": …}`` in the place of
            an item that could not be answered.

        Raises:
            InvalidRequest, UnknownModel, ModelFailed: as the contract has it.
            ServiceUnavailable: Redis did not answer in time, or refused the credentials.
            WaitTimeout, DeadlineExceeded: the workers did not.
        """
        deadline = self._deadline(timeout_s)
        wire = [_to_wire(item) for item in inputs] if _is_several(inputs) else _to_wire(inputs)
        request = TextClassificationRequest.parse(
            {
                "inputs": wire,
                **_not_default(
                    TextClassificationRequest,
                    {
                        "top_k": top_k,
                        "function_to_apply": function_to_apply,
                        "truncation": truncation,
                        "model": model,
                    },
                ),
            }
        )
        result: list[LabelScore] | list[list[LabelScore] | ItemFailure] = self._ask(request, deadline)
        return result

    @overload
    def classify_zero_shot(  # type: ignore[overload-overlap]
        self,
        inputs: str,
        candidate_labels: str | Sequence[str],
        *,
        hypothesis_template: str = "This example is {}.",
        multi_label: bool = False,
        model: str | None = None,
        timeout_s: float | None = None,
    ) -> ZeroShotResult: ...

    @overload
    def classify_zero_shot(
        self,
        inputs: Sequence[str],
        candidate_labels: str | Sequence[str],
        *,
        hypothesis_template: str = "This example is {}.",
        multi_label: bool = False,
        model: str | None = None,
        timeout_s: float | None = None,
    ) -> list[ZeroShotResult | ItemFailure]: ...

    def classify_zero_shot(
        self,
        inputs: str | Sequence[str],
        candidate_labels: str | Sequence[str],
        *,
        hypothesis_template: str = "This example is {}.",
        multi_label: bool = False,
        model: str | None = None,
        timeout_s: float | None = None,
    ) -> ZeroShotResult | list[ZeroShotResult | ItemFailure]:
        """Score labels of your own for one text or several, and wait for the answer.

        Args:
            inputs: a text, or a list of up to 64.
            candidate_labels: up to 100 labels, as a list or in one string, separated by commas.
            hypothesis_template: the sentence that a label becomes; ``{}`` stands for the label.
            multi_label: score every label on its own; False makes the scores sum to one.
            model: name of the model to use; None takes the worker's default for the task.
            timeout_s: seconds that the whole call may take; None takes the client's.

        Returns:
            Labels and scores, best first; for a list, a list of those, as :meth:`classify` does.

        Raises:
            CeleriacError: as :meth:`classify` does.
        """
        deadline = self._deadline(timeout_s)
        request = ZeroShotClassificationRequest.parse(
            {
                "inputs": _unpacked(inputs),
                "candidate_labels": _unpacked(candidate_labels),
                **_not_default(
                    ZeroShotClassificationRequest,
                    {"hypothesis_template": hypothesis_template, "multi_label": multi_label, "model": model},
                ),
            }
        )
        result: ZeroShotResult | list[ZeroShotResult | ItemFailure] = self._ask(request, deadline)
        return result

    @overload
    def answer(  # type: ignore[overload-overlap]
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
        timeout_s: float | None = None,
    ) -> AnswerSpan: ...

    @overload
    def answer(  # type: ignore[overload-overlap]
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
        timeout_s: float | None = None,
    ) -> AnswerSpan | list[AnswerSpan]: ...

    @overload
    def answer(
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
        timeout_s: float | None = None,
    ) -> list[AnswerSpan | list[AnswerSpan] | ItemFailure]: ...

    def answer(
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
        timeout_s: float | None = None,
    ) -> AnswerSpan | list[AnswerSpan] | list[AnswerSpan | list[AnswerSpan] | ItemFailure]:
        """Find the answer to a question in a context, or several of both, and wait for it.

        Args:
            question: a question, or a list of up to 64.
            context: the text that holds the answer, or a list of as many.
            top_k: how many answers to return; fewer where the context has fewer.
            max_seq_len: longest window of question and context together, in tokens. A model that reads less than the
                default gets windows of what it reads.
            doc_stride: overlap of two windows of a long context, in tokens. The default shrinks to half a window.
            max_answer_len: longest answer, in tokens.
            max_question_len: taken and without effect, as in ``transformers``: a question is never cut.
            handle_impossible_answer: let "there is no answer" be one, an empty answer at 0.
            align_to_words: widen answers to whole words.
            model: name of the model to use; None takes the worker's default for the task.
            timeout_s: seconds that the whole call may take; None takes the client's.

        Returns:
            ``context[start:end]`` and its score, or with ``top_k`` over 1 a list of those; for lists, a list of such
            results, as :meth:`classify` does.

        Raises:
            CeleriacError: as :meth:`classify` does.
        """
        deadline = self._deadline(timeout_s)
        request = QuestionAnsweringRequest.parse(
            {
                "question": _unpacked(question),
                "context": _unpacked(context),
                **_not_default(
                    QuestionAnsweringRequest,
                    {
                        "top_k": top_k,
                        "max_seq_len": max_seq_len,
                        "doc_stride": doc_stride,
                        "max_answer_len": max_answer_len,
                        "max_question_len": max_question_len,
                        "handle_impossible_answer": handle_impossible_answer,
                        "align_to_words": align_to_words,
                        "model": model,
                    },
                ),
            }
        )
        result: AnswerSpan | list[AnswerSpan] | list[AnswerSpan | list[AnswerSpan] | ItemFailure]
        result = self._ask(request, deadline)
        return result


def _is_several(inputs: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(inputs, Sequence) and not isinstance(inputs, _NO_LIST)


def _to_wire(item: Any) -> Any:
    if isinstance(item, TextInput):
        return item.model_dump(mode="json")
    return dict(item) if isinstance(item, Mapping) else item


def _unpacked(values: Any) -> Any:
    return list(values) if _is_several(values) else values


def _not_default(schema: type[Request], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters to send; ``True`` is not the default 1, which the schema tells apart as well."""
    defaults = {name: field.default for name, field in schema.model_fields.items()}
    return {
        name: value
        for name, value in parameters.items()
        if type(value) is not type(defaults[name]) or value != defaults[name]
    }
