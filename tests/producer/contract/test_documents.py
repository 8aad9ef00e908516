"""The documents for other languages: they are up to date, and say what the code accepts and stores."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from examples.local_stack import PATIENCE_S
from producer.contract import (
    REQUESTS,
    ErrorCode,
    InvalidRequest,
    QuestionAnsweringRequest,
    QueueClass,
    Request,
    TaskName,
    TextClassificationRequest,
    queue_name,
)
from producer.contract.documents.asyncapi import asyncapi
from producer.contract.documents.comments import described_fields
from producer.contract.documents.json_schema import json_schema, name_of
from producer.contract.documents.meanings import ERROR_CODES
from producer.message import build_message
from tests.producer.strategies import json_values, question_arguments, texts, zero_shot_arguments

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "producer.contract"]
SCHEMA = json_schema()
#: What the schema leaves to the rules beside it: characters, and what relates several parameters or labels.
RULES = {
    TaskName.TEXT_CLASSIFICATION: {ErrorCode.INVALID_CHARACTER},
    TaskName.ZERO_SHOT_CLASSIFICATION: {
        ErrorCode.INVALID_CHARACTER,
        ErrorCode.EMPTY,
        ErrorCode.TOO_LONG,
        ErrorCode.TOO_MANY,
        ErrorCode.NOT_ALLOWED,
    },
    TaskName.QUESTION_ANSWERING: {ErrorCode.INVALID_CHARACTER, ErrorCode.OUT_OF_RANGE, ErrorCode.WRONG_TYPE},
}


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{name}"})


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=ROOT)


def test_the_committed_files_are_what_the_code_gives() -> None:
    done = run("write", "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_that_is_not_up_to_date_is_named(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    (tmp_path / "contract.md").write_text(page.replace("`top_k`", "`k`"), encoding="utf-8")

    done = run("write", "--check", str(tmp_path))
    assert done.returncode == 1
    assert "contract.md is not up to date" in done.stderr
    assert not (tmp_path / "contract").exists()

    assert run("write", str(tmp_path)).returncode == run("write", "--check", str(tmp_path)).returncode == 0
    assert (tmp_path / "contract.md").read_text(encoding="utf-8") == page


def test_a_page_without_the_marks_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "contract.md").write_text("# Nothing", encoding="utf-8")
    done = run("write", str(tmp_path))
    assert done.returncode == 2
    assert "contract: begin" in done.stderr


def test_the_schema_is_a_schema_and_every_reference_in_both_documents_leads_somewhere() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    for document in (SCHEMA, asyncapi()):
        references = list(_references(document))
        assert len(references) > 10
        for reference in references:
            target: Any = document
            for part in reference.removeprefix("#/").split("/"):
                target = target[part]


def test_asyncapi_has_every_queue_and_a_way_back() -> None:
    document = asyncapi()
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == {"celery-task-meta-{id}"} | {
        queue_name(task, queue_class) for task in TaskName for queue_class in QueueClass
    }
    assert all("reply" in operation for operation in document["operations"].values())
    assert len(document["operations"]) == 2 * len(TaskName)


def test_every_error_code_has_a_meaning() -> None:
    assert ERROR_CODES.keys() == set(ErrorCode)


@pytest.mark.parametrize("task", list(TaskName))
def test_every_parameter_that_explains_itself_is_explained_in_words_of_json(task: TaskName) -> None:
    described = described_fields(REQUESTS[task])
    # Named as in every pipeline of transformers.
    assert {name for name, text in described.items() if not text} <= {"inputs", "question", "context"}
    assert not any(word in text.split() for text in described.values() for word in ("None", "True", "False"))
    schema = SCHEMA["$defs"][REQUESTS[task].__name__]
    assert schema["properties"].keys() == described.keys()


@given(zero_shot_arguments())
def test_a_zero_shot_request_that_the_contract_accepts_is_valid(arguments: dict[str, Any]) -> None:
    validator("ZeroShotClassificationRequest").validate(arguments)


@given(question_arguments())
def test_a_question_that_the_contract_accepts_is_valid(arguments: dict[str, Any]) -> None:
    validator("QuestionAnsweringRequest").validate(arguments)


@given(task=st.sampled_from(TaskName), data=st.data())
def test_the_schema_and_the_contract_refuse_the_same_but_for_the_rules(task: TaskName, data: st.DataObject) -> None:
    schema = REQUESTS[task]
    required = SCHEMA["$defs"][schema.__name__]["required"]
    strings = texts() | st.sampled_from(["windows", "mean", "softmax", ""])
    values = json_values(strings).filter(lambda value: not _has_float(value))
    arguments = {name: data.draw(texts() | st.lists(texts(), min_size=1, max_size=3)) for name in required}
    names = st.sampled_from([*schema.model_fields, "unknown"])
    arguments |= data.draw(st.dictionaries(names, values, max_size=2))

    is_valid = validator(schema.__name__).is_valid(arguments)

    refusal = refusal_of(schema, arguments)
    assert is_valid if refusal is None else not is_valid or refusal in RULES[task]


@pytest.mark.parametrize(
    ("arguments", "is_valid"),
    [
        ({"inputs": {"text": "a", "text_pair": "b"}, "top_k": None}, True),
        ({"inputs": ["a", {"text": "b"}], "truncation": "windows"}, True),
        ({"inputs": ""}, False),
        ({"inputs": []}, False),
        ({"inputs": ["a"] * 65}, False),
        ({"inputs": "a", "top_k": 0}, False),
        ({"inputs": "a", "truncation": "window"}, False),
        ({"inputs": {"text": "a", "pair": "b"}}, False),
        ({"text": "a"}, False),
    ],
)
def test_the_schema_of_a_request_is_as_strict_as_the_contract(arguments: dict[str, Any], is_valid: bool) -> None:
    assert validator("TextClassificationRequest").is_valid(arguments) is is_valid
    assert (refusal_of(TextClassificationRequest, arguments) is None) is is_valid


def test_questions_and_contexts_come_in_pairs() -> None:
    pairs = validator("QuestionAnsweringRequest")
    assert pairs.is_valid({"question": "a", "context": "b"})
    assert pairs.is_valid({"question": ["a"], "context": ["b"]})
    assert not pairs.is_valid({"question": "a", "context": ["b"]})
    assert not pairs.is_valid({"question": ["a"]})


def test_the_messages_of_our_client_are_what_the_schema_says() -> None:
    request = QuestionAnsweringRequest.parse({"question": "Who?", "context": "He."})
    raw = build_message(request, request_id="id-1", queue="question-answering", expires_s=60)
    message = json.loads(raw)
    validator("Message").validate(message)
    # Validators leave encoded content to their callers.
    content = SCHEMA["$defs"]["Message"]["properties"]["body"]["contentSchema"]
    Draft202012Validator({**SCHEMA, **content}).validate(json.loads(base64.b64decode(message["body"])))


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("task", "arguments"),
    [
        ("text-classification", {"inputs": "good"}),
        ("text-classification", {"inputs": ["good", ""]}),
        ("text-classification", {"inputs": ""}),
        ("text-classification", {"inputs": "good", "model": "none"}),
        ("zero-shot-classification", {"inputs": ["good"], "candidate_labels": "a,b"}),
        ("question-answering", {"question": "Who?", "context": "It was Ingrid."}),
        ("question-answering", {"question": "Who?", "context": "It was Ingrid.", "top_k": 2}),
        ("question-answering", {"question": ["Who?"] * 2, "context": ["It was Ingrid.", ""]}),
    ],
)
def test_what_a_worker_stores_is_what_the_schema_says(
    task: str, arguments: dict[str, Any], stock: Celery, redis_client: redis.Redis
) -> None:
    sent = stock.send_task(task, kwargs=arguments)
    sent.get(timeout=PATIENCE_S, propagate=False)
    stored = redis_client.get(f"celery-task-meta-{sent.id}")
    assert isinstance(stored, bytes)
    record = json.loads(stored)
    validator("StoredResult").validate(record)
    name = f"{name_of(TaskName(task))}Result" if record["status"] == "SUCCESS" else "StoredError"
    validator(name).validate(record["result"])
    if record["status"] != "SUCCESS":
        assert record["result"]["exc_message"][1]["code"] in set(ErrorCode)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _references(part)


def refusal_of(schema: type[Request], arguments: dict[str, Any]) -> ErrorCode | None:
    """Why the contract refuses arguments; None if it accepts them."""
    try:
        schema.parse(arguments)
    except InvalidRequest as error:
        return error.code
    return None


def _has_float(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(_has_float, value)) if isinstance(value, list) else isinstance(value, float)
