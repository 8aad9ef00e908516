"""The limits of the contract. The client checks them before it sends, the worker before it computes."""

from __future__ import annotations

__all__ = [
    "MAX_ANSWERS",
    "MAX_INPUTS",
    "MAX_LABELS",
    "MAX_LABEL_CHARACTERS",
    "MAX_MODEL_NAME_CHARACTERS",
    "MAX_REQUEST_BYTES",
    "MAX_SEQUENCES",
    "MAX_TEXT_CHARACTERS",
    "MIN_WINDOW_TOKENS",
]

#: Maximum number of inputs in a request. With 64 texts of 512 tokens, a BERT-base on one core stays within the time
#: limit.
MAX_INPUTS = 64
#: Maximum length of a text, in Unicode code points.
MAX_TEXT_CHARACTERS = 100_000
#: Maximum size of a message body (the arguments as JSON), in bytes.
MAX_REQUEST_BYTES = 1024 * 1024
#: Maximum number of candidate labels in a zero-shot request.
MAX_LABELS = 100
#: Maximum length of a candidate label and of a hypothesis template, in Unicode code points.
MAX_LABEL_CHARACTERS = 500
#: Maximum number of sequences that a request needs: texts times labels (zero-shot), the windows of long texts and
#: contexts, or both.
MAX_SEQUENCES = 2000
#: Maximum number of answers to one question.
MAX_ANSWERS = 100
#: Maximum length of a model name, in Unicode code points.
MAX_MODEL_NAME_CHARACTERS = 200
#: Minimum length of the windows of a text to classify, in tokens. Less says little.
MIN_WINDOW_TOKENS = 32
