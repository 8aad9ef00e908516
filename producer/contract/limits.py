"""The limits of the contract: checked by the client before it sends and by the worker before it computes."""

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
]

#: Most inputs in one message: 64 texts of 512 tokens stay inside the time limit on one core and a BERT-base.
MAX_INPUTS = 64
#: Longest single text, in Unicode code points.
MAX_TEXT_CHARACTERS = 100_000
#: Largest message body (the JSON of arguments), in bytes.
MAX_REQUEST_BYTES = 1024 * 1024
#: Most candidate labels of a zero-shot request.
MAX_LABELS = 100
#: Longest candidate label and longest hypothesis template, in Unicode code points.
MAX_LABEL_CHARACTERS = 500
#: Most sequences that a message becomes: texts times labels of a zero-shot request, windows of long contexts.
MAX_SEQUENCES = 2000
#: Most answers of one question.
MAX_ANSWERS = 100
#: Longest model name, in characters.
MAX_MODEL_NAME_CHARACTERS = 200
