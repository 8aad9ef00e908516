"""The tables of ``docs/contract.md``."""

from __future__ import annotations

import json
from typing import Any

from producer.contract import REQUESTS
from producer.contract.documents.json_schema import JsonSchema, definitions
from producer.contract.documents.meanings import ERROR_CODES, GENERAL_RULES, TASK_RULES
from producer.contract.names import QueueClass, TaskName, queue_name

__all__ = ["BEGIN", "END", "contract_tables", "with_tables"]

BEGIN = "<!-- contract: begin (python -m producer.contract) -->"
END = "<!-- contract: end -->"
_PREFIX = "#/$defs/"


def with_tables(page: str) -> str:
    """A page with its tables made anew.

    Raises:
        ValueError: the page does not have the two lines between which they belong.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{contract_tables()}\n{END}{after}"


def contract_tables() -> str:
    """Tasks, queues, parameters and error codes as Markdown."""
    schemas = definitions(_PREFIX)
    parts = ["### Rules for all tasks\n\n" + _listed(GENERAL_RULES)]
    parts += [_task(task, schemas) for task in TaskName]
    parts.append("### Error codes\n\n| `code` | meaning |\n| --- | --- |")
    parts[-1] += "".join(f"\n| `{code.value}` | {ERROR_CODES[code]} |" for code in ERROR_CODES) + "\n"
    return "\n".join(parts)


def _task(task: TaskName, schemas: JsonSchema) -> str:
    request = REQUESTS[task]
    schema = schemas[request.__name__]
    queues = " and ".join(f"`{queue_name(task, queue_class)}`" for queue_class in QueueClass)
    rows = "\n".join(_row(name, schema) for name in request.positions())
    head = f"### {task.value}\n\nQueues: {queues}.\n\n| argument | type | if left out | |\n| --- | --- | --- | --- |\n"
    rules = f"\n{_listed(TASK_RULES[task])}" if TASK_RULES[task] else ""
    return f"{head}{rows}\n{rules}"


def _row(name: str, schema: JsonSchema) -> str:
    described = schema["properties"][name]
    default = "required" if name in schema["required"] else f"`{json.dumps(described.get('default'))}`"
    return f"| `{name}` | {_type(described)} | {default} | {described.get('description', '')} |"


def _type(described: JsonSchema) -> str:
    """The type of a parameter in a few words."""
    kinds = described.get("oneOf") or described.get("anyOf")
    if kinds:
        return " or ".join(dict.fromkeys(_type(kind) for kind in kinds))
    if "$ref" in described:
        return "text, or `{text, text_pair}`" if described["$ref"] == f"{_PREFIX}TextInput" else "object"
    values: list[Any] = described.get("enum") or ([described["const"]] if "const" in described else [])
    if values:
        return ", ".join(f"`{json.dumps(value)}`" for value in values)
    kind: str = described["type"]
    if kind == "array":
        return f"list of {described['minItems']} to {described['maxItems']} of: {_type(described['items'])}"
    return kind + _range(described)


def _range(described: JsonSchema) -> str:
    if "maxLength" in described:
        return f" of up to {described['maxLength']} characters"
    low, high = described.get("minimum"), described.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    return "" if low is None else f" from {low}"


def _listed(rules: tuple[str, ...]) -> str:
    return "".join(f"- {rule}\n" for rule in rules)
