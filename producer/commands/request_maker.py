"""Makes requests of the records of ``map``: what a record says goes before what the options say for all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from producer.contract import REQUESTS, Request, TaskName
from producer.errors import ErrorCode, InvalidRequest, RequestError

__all__ = ["MadeRequest", "RequestMaker", "read_object", "value_of"]

#: Parameters that are texts even if they look like numbers.
_TEXTS = frozenset(
    {"candidate_labels", "context", "hypothesis_template", "inputs", "model", "question", "text", "text_pair"}
)
#: The caller's id of a record, and a request or why there is none.
MadeRequest = tuple[Any, Request | RequestError]


def value_of(name: str, text: str) -> Any:
    """The value of a parameter that is written as text, in a table or as an option."""
    if name in _TEXTS:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def read_object(line: str) -> dict[str, Any] | InvalidRequest:
    """The JSON object on a line, or what is wrong with the line."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return InvalidRequest.of(ErrorCode.UNREADABLE_MESSAGE, f"the line is not valid JSON: {error}")
    if not isinstance(values, dict):
        return InvalidRequest.of(ErrorCode.WRONG_TYPE, "the line is not a JSON object")
    return values


@dataclass(frozen=True)
class RequestMaker:
    """Makes a request of each record.

    Attributes:
        task: of the records that name none.
        column: the column of a table that has the text; None if its columns are called as the parameters.
        parameters: for all records that do not state them.
    """

    task: str | None = None
    column: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> frozenset[str]:
        """The columns of a table that are of use."""
        parameters = {name for schema in REQUESTS.values() for name in schema.model_fields}
        own = () if self.column is None else (self.column,)
        return frozenset({"id", "task", "text", "text_pair", *parameters, *own})

    def from_line(self, line: str) -> MadeRequest:
        """The request of a line of JSON: the parameters, ``task`` and ``id``."""
        values = read_object(line)
        if isinstance(values, InvalidRequest):
            return None, values
        return values.pop("id", None), self.of(values.pop("task", self.task), values)

    def from_text(self, line: str) -> MadeRequest:
        """The request of a line that is the text itself."""
        return None, self.of(self.task, {self._text_parameter(): line.rstrip("\r\n")})

    def from_row(self, row: Mapping[str, Any]) -> MadeRequest:
        """The request of a row of a table. Columns that are called otherwise than the parameters are passed over."""
        key = row.get("id")
        task = row.get("task") or self.task
        schema = _schema_of(task)
        if isinstance(schema, InvalidRequest):
            return key, schema
        known = {*schema.model_fields, "text", "text_pair"}
        values = {
            name: value_of(name, value) if isinstance(value, str) else value
            for name, value in row.items()
            if name in known and value is not None and value != ""
        }
        if self.column is not None:
            values[self._text_parameter(task)] = row.get(self.column) or ""
        elif "inputs" not in values and "text" in values:
            values["inputs"] = {name: values[name] for name in ("text", "text_pair") if name in values}
        return key, self.of(task, {name: value for name, value in values.items() if name in schema.model_fields})

    def of(self, task: object, values: Mapping[str, Any]) -> Request | RequestError:
        """The request of a task with these parameters."""
        schema = _schema_of(task)
        if isinstance(schema, InvalidRequest):
            return schema
        try:
            return schema.parse({**self.parameters, **values})
        except InvalidRequest as error:
            return error

    def _text_parameter(self, task: object = None) -> str:
        is_question = (task or self.task) == TaskName.QUESTION_ANSWERING.value
        return "context" if is_question else "inputs"


def _schema_of(task: object) -> type[Request] | InvalidRequest:
    try:
        return REQUESTS[TaskName(task)]  # type: ignore[arg-type]  # any other value is a ValueError
    except ValueError:
        known = ", ".join(name.value for name in TaskName)
        return InvalidRequest.of(ErrorCode.UNKNOWN_TASK, f"task: must be one of {known}", field="task")
