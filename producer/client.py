"""The client that other services use: typed calls, each of which ends by its deadline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeGuard, overload

from typing_extensions import TypedDict, Unpack

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
from producer.sender import Answer, Sender

__all__ = ["Answer", "Client", "QuestionOptions"]

TextLike = str | TextInput | Mapping[str, str]
#: Python takes these for sequences too; none is a list of inputs.
_NO_LIST = (str, bytes, bytearray, memoryview)
FunctionToApply = Literal["sigmoid", "softmax", "none"]


class QuestionOptions(TypedDict, total=False):
    """What a question may say beside how many answers; see :class:`producer.contract.QuestionAnsweringRequest`."""

    doc_stride: int
    max_answer_len: int
    max_seq_len: int
    max_question_len: int
    handle_impossible_answer: bool
    align_to_words: bool
    model: str | None


class Client(Sender):
    """Asks the workers; :class:`~producer.sender.Sender` has what it is made from, and the calls without a task."""

    @overload
    def classify(  # type: ignore[overload-overlap]  # a str is a Sequence[str] too; this one comes first
        self,
        inputs: TextLike,
        *,
        top_k: int | None = ...,
        function_to_apply: FunctionToApply | None = ...,
        truncation: bool = ...,
        model: str | None = ...,
        timeout_s: float | None = ...,
    ) -> list[LabelScore]: ...

    @overload
    def classify(
        self,
        inputs: Sequence[TextLike],
        *,
        top_k: int | None = ...,
        function_to_apply: FunctionToApply | None = ...,
        truncation: bool = ...,
        model: str | None = ...,
        timeout_s: float | None = ...,
    ) -> list[list[LabelScore] | ItemFailure]: ...

    def classify(
        self, inputs: TextLike | Sequence[TextLike], *, timeout_s: float | None = None, **parameters: Any
    ) -> list[LabelScore] | list[list[LabelScore] | ItemFailure]:
        """Label one text or several, and wait for the answer.

        A request that no worker has begun when the time is up is dropped: nobody would read its answer.

        Args:
            inputs: a text, ``{"text": …, "text_pair": …}``, or a list of up to 64 of those.
            timeout_s: seconds that the whole call may take.
            **parameters: those of :class:`producer.contract.TextClassificationRequest`.

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
        request = TextClassificationRequest.parse({"inputs": wire, **parameters})
        result: list[LabelScore] | list[list[LabelScore] | ItemFailure] = self._ask(request, deadline)
        return result

    @overload
    def classify_zero_shot(  # type: ignore[overload-overlap]
        self,
        inputs: str,
        candidate_labels: str | Sequence[str],
        *,
        hypothesis_template: str = ...,
        multi_label: bool = ...,
        model: str | None = ...,
        timeout_s: float | None = ...,
    ) -> ZeroShotResult: ...

    @overload
    def classify_zero_shot(
        self,
        inputs: Sequence[str],
        candidate_labels: str | Sequence[str],
        *,
        hypothesis_template: str = ...,
        multi_label: bool = ...,
        model: str | None = ...,
        timeout_s: float | None = ...,
    ) -> list[ZeroShotResult | ItemFailure]: ...

    def classify_zero_shot(
        self,
        inputs: str | Sequence[str],
        candidate_labels: str | Sequence[str],
        *,
        timeout_s: float | None = None,
        **parameters: Any,
    ) -> ZeroShotResult | list[ZeroShotResult | ItemFailure]:
        """Score labels of your own for one text or several, and wait for the answer.

        Args:
            inputs: a text, or a list of up to 64.
            candidate_labels: up to 100 labels, as a list or in one string, separated by commas.
            timeout_s: seconds that the whole call may take.
            **parameters: those of :class:`producer.contract.ZeroShotClassificationRequest`.

        Returns:
            Labels and scores, best first; for a list, a list of those, as :meth:`classify` does.

        Raises:
            CeleriacError: as :meth:`classify` does.
        """
        deadline = self._deadline(timeout_s)
        request = ZeroShotClassificationRequest.parse(
            {"inputs": _unpacked(inputs), "candidate_labels": _unpacked(candidate_labels), **parameters}
        )
        result: ZeroShotResult | list[ZeroShotResult | ItemFailure] = self._ask(request, deadline)
        return result

    @overload
    def answer(  # type: ignore[overload-overlap]
        self, question: str, context: str, *, timeout_s: float | None = ..., **parameters: Unpack[QuestionOptions]
    ) -> AnswerSpan: ...

    @overload
    def answer(  # type: ignore[overload-overlap]
        self,
        question: str,
        context: str,
        *,
        top_k: int,
        timeout_s: float | None = ...,
        **parameters: Unpack[QuestionOptions],
    ) -> AnswerSpan | list[AnswerSpan]: ...

    @overload
    def answer(
        self,
        question: Sequence[str],
        context: Sequence[str],
        *,
        top_k: int = ...,
        timeout_s: float | None = ...,
        **parameters: Unpack[QuestionOptions],
    ) -> list[AnswerSpan | list[AnswerSpan] | ItemFailure]: ...

    def answer(
        self,
        question: str | Sequence[str],
        context: str | Sequence[str],
        *,
        timeout_s: float | None = None,
        **parameters: Any,
    ) -> AnswerSpan | list[AnswerSpan] | list[AnswerSpan | list[AnswerSpan] | ItemFailure]:
        """Find the answer to a question in a context, or several of both, and wait for it.

        Args:
            question: a question, or a list of up to 64.
            context: the text that holds the answer, or a list of as many.
            timeout_s: seconds that the whole call may take.
            **parameters: those of :class:`producer.contract.QuestionAnsweringRequest`.

        Returns:
            ``context[start:end]`` and its score, or with ``top_k`` over 1 a list of those; for lists, a list of such
            results, as :meth:`classify` does.

        Raises:
            CeleriacError: as :meth:`classify` does.
        """
        deadline = self._deadline(timeout_s)
        request = QuestionAnsweringRequest.parse(
            {"question": _unpacked(question), "context": _unpacked(context), **parameters}
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
