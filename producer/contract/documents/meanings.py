"""What the code cannot say by itself: rules that no schema expresses, and the meaning of each error code."""

from __future__ import annotations

from collections.abc import Mapping

from producer.contract.limits import MAX_LABEL_CHARACTERS, MAX_LABELS, MAX_REQUEST_BYTES, MAX_SEQUENCES
from producer.contract.names import TaskName
from producer.errors import ErrorCode

__all__ = ["ERROR_CODES", "GENERAL_RULES", "TASK_RULES"]

ERROR_CODES: Mapping[ErrorCode, str] = {
    ErrorCode.WRONG_TYPE: "a parameter has another type than the schema says",
    ErrorCode.MISSING: "a required parameter is missing",
    ErrorCode.EMPTY: "a text, a list or the labels are empty",
    ErrorCode.TOO_LONG: "a text, a label or a name has too many characters",
    ErrorCode.TOO_MANY: "too many inputs, labels, sequences or positional arguments",
    ErrorCode.TOO_LARGE: "the body is too large",
    ErrorCode.OUT_OF_RANGE: "a number is too small or too large",
    ErrorCode.NOT_ALLOWED: "a value is none of those that are allowed",
    ErrorCode.INVALID_CHARACTER: "a text contains NUL or an unpaired surrogate",
    ErrorCode.UNKNOWN_PARAMETER: "there is no such parameter",
    ErrorCode.UNKNOWN_MODEL: "no worker serves the model for this task",
    ErrorCode.UNKNOWN_TASK: "there is no such task",
    ErrorCode.UNREADABLE_MESSAGE: "the message is not a Celery message that can be read",
    ErrorCode.UNSUPPORTED_VERSION: "the worker does not answer this version of the contract",
    ErrorCode.TOO_MANY_TOKENS: "the text is too long for the model and may not be cut, or leaves no room for the rest",
    ErrorCode.MODEL_FAILED: "the model failed on this request; its sender is not at fault",
    ErrorCode.PROCESS_DIED: "the processes that computed the request died; its sender is not at fault",
}

#: What holds for the requests of all tasks.
GENERAL_RULES = (
    "Texts, labels and names contain no NUL and no unpaired surrogate. Lengths are counted in Unicode code points.",
    "Integers are written without a fraction: `1`, not `1.0`.",
    f"The body, before it is encoded in base64, has at most {MAX_REQUEST_BYTES} bytes.",
    "A list of inputs gives a list of results, even if it has one element.",
)

#: What relates several parameters of a task.
TASK_RULES: Mapping[TaskName, tuple[str, ...]] = {
    TaskName.TEXT_CLASSIFICATION: (),
    TaskName.ZERO_SHOT_CLASSIFICATION: (
        "`hypothesis_template` contains `{}` or `{0}`, four times at most; other braces are doubled.",
        f"`candidate_labels` as a string is split at commas; {MAX_LABELS} labels of {MAX_LABEL_CHARACTERS} at most.",
        f"The number of inputs times the number of labels is at most {MAX_SEQUENCES}.",
    ),
    TaskName.QUESTION_ANSWERING: (
        "`question` and `context` are both strings, or both lists of the same length.",
        "`doc_stride` is not larger than `max_seq_len`.",
    ),
}
