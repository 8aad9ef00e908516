"""All three tasks through one worker: for stock Celery, in bulk, mixed, and the same as without a queue."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from examples.demo.texts import generate, read_examples, read_questions
from examples.local_stack import PATIENCE_S, LocalServer, LocalWorker
from models import pipelines
from models.pipelines.base import AnyPipeline
from models.store import BUNDLED_DIRECTORY, find
from producer import (
    Client,
    InvalidRequest,
    QuestionAnsweringRequest,
    TextClassificationRequest,
    ZeroShotClassificationRequest,
)
from producer.contract import ErrorCode, Request, TaskName
from producer.sender import Answer
from tests.models.options import engine_options

pytestmark = pytest.mark.usefixtures("worker")

#: A request is computed in the shape that it has alone, whatever it is batched with.
SCORE_TOLERANCE = 1e-6
LABELS = ["praise", "complaint", "news"]
QUESTION, CONTEXT = "What is my doctor called?", "My doctor, whom I see on Mondays, is called Zebediah."


@pytest.fixture(scope="module")
def here() -> dict[TaskName, AnyPipeline]:
    """The bundled models in this process, compiled as a worker's process compiles them."""
    return {
        model.manifest.task: pipelines.load(model, engine_options())
        for model in (find(name, BUNDLED_DIRECTORY) for name in ("sentiment", "nli", "qa"))
    }


def test_stock_celery_names_no_queue_and_gets_the_shapes_of_transformers(stock: Celery) -> None:
    topic = stock.send_task(
        "zero-shot-classification", kwargs={"inputs": "Great sound.", "candidate_labels": "praise, complaint"}
    )
    span = stock.send_task("question-answering", kwargs={"question": QUESTION, "context": CONTEXT})

    result = topic.get(timeout=PATIENCE_S)
    assert result.keys() == {"sequence", "labels", "scores"}
    assert sorted(result["labels"]) == ["complaint", "praise"]
    assert sum(result["scores"]) == pytest.approx(1.0)
    answer = span.get(timeout=PATIENCE_S)
    assert answer.keys() == {"score", "start", "end", "answer"}
    assert answer["answer"] == CONTEXT[answer["start"] : answer["end"]]
    assert answer["answer"].startswith("Zebediah")


def test_answers_through_the_queue_are_those_of_this_process_whatever_else_is_asked_meanwhile(
    client: Client, here: dict[TaskName, AnyPipeline]
) -> None:
    requests = list(mixed(150))

    answers = list(client.map(requests, in_flight=40))

    for request, answer in zip(requests, answers, strict=True):
        (expected,) = here[request.task].answer([request])
        assert isinstance(answer, Answer)
        assert_alike(answer.result, expected if request.has_several else expected[0])


def assert_alike(answer: Any, expected: Any) -> None:
    """Equal, but for the last digits of scores, which went through JSON."""
    if isinstance(expected, float):
        assert answer == pytest.approx(expected, abs=SCORE_TOLERANCE)
    elif isinstance(expected, dict):
        assert answer.keys() == expected.keys()
        for name, value in expected.items():
            assert_alike(answer[name], value)
    elif isinstance(expected, list):
        assert len(answer) == len(expected)
        for item, value in zip(answer, expected, strict=True):
            assert_alike(item, value)
    else:
        assert answer == expected


def mixed(count: int) -> Iterator[Request]:
    """Requests of the three tasks in turn, one item or several each."""
    texts = generate(read_examples(), count)
    questions = read_questions()
    sizes = itertools.cycle([None, 1, 5, None])
    kinds = itertools.cycle(TaskName)
    for number, (kind, size) in enumerate(itertools.islice(zip(kinds, sizes, strict=False), count)):
        some: Any = texts[number] if size is None else texts[number : number + size]
        asked = questions[number % len(questions)]
        match kind:
            case TaskName.TEXT_CLASSIFICATION:
                yield TextClassificationRequest.parse({"inputs": some, "top_k": None})
            case TaskName.ZERO_SHOT_CLASSIFICATION:
                yield ZeroShotClassificationRequest.parse(
                    {"inputs": some, "candidate_labels": LABELS[: 1 + number % 3]}
                )
            case TaskName.QUESTION_ANSWERING:
                yield QuestionAnsweringRequest.parse({**asked, "top_k": 1 + number % 4})


@pytest.mark.parametrize(
    ("task", "arguments", "code", "field", "limit"),
    [
        ("zero-shot-classification", {"candidate_labels": []}, "empty", "candidate_labels", 1),
        ("zero-shot-classification", {"candidate_labels": " , "}, "empty", "candidate_labels", None),
        ("zero-shot-classification", {"candidate_labels": ["x"] * 10_000}, "too_many", "candidate_labels", 100),
        ("zero-shot-classification", {"hypothesis_template": "no place"}, "not_allowed", "hypothesis_template", None),
        ("zero-shot-classification", {"inputs": ""}, "empty", "inputs", None),
        ("question-answering", {"question": ""}, "empty", "question", None),
        ("question-answering", {"context": ""}, "empty", "context", None),
        ("question-answering", {"context": "x " * 450_000}, "too_long", "context", 100_000),
        ("question-answering", {"max_seq_len": 1000, "context": "a " * 900}, "out_of_range", "max_seq_len", 512),
    ],
)
def test_bad_input_of_each_task_is_a_typed_error_that_names_field_and_limit(
    stock: Celery, task: str, arguments: dict[str, Any], code: str, field: str, limit: int | None
) -> None:
    good: dict[str, dict[str, Any]] = {
        "zero-shot-classification": {"inputs": "fine", "candidate_labels": LABELS},
        "question-answering": {"question": QUESTION, "context": CONTEXT},
    }

    with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is made by Celery from its name
        stock.send_task(task, kwargs={**good[task], **arguments}).get(timeout=PATIENCE_S)

    assert type(caught.value).__name__ == "InvalidRequest"
    details = caught.value.args[1]
    assert (details["code"], details["field"], details["limit"]) == (code, field, limit)


def test_in_a_bulk_message_only_the_bad_item_carries_the_error(stock: Celery) -> None:
    kwargs = {"question": [QUESTION, "", QUESTION], "context": [CONTEXT, CONTEXT, "Nobody is called anything."]}

    first, second, third = stock.send_task("question-answering", kwargs=kwargs).get(timeout=PATIENCE_S)

    assert first["answer"].startswith("Zebediah")
    assert (second["error"]["code"], second["error"]["field"]) == ("empty", "question[1]")
    assert third.keys() == {"score", "start", "end", "answer"}


def test_a_bad_item_that_only_the_model_can_tell_leaves_the_others_alone(client: Client) -> None:
    long = "word " * 600

    with pytest.raises(InvalidRequest) as caught:
        client.answer("what " * 500, long)
    both: Any = client.answer(["what " * 500, QUESTION], [long, CONTEXT])

    assert caught.value.code is ErrorCode.TOO_MANY_TOKENS
    assert both[0]["error"]["field"] == "question[0]"
    assert both[1]["answer"].startswith("Zebediah")


def test_a_model_for_zero_shot_labels_pairs_when_it_is_named_and_never_by_default(client: Client) -> None:
    pair = {"text": "The dog sleeps on the sofa.", "text_pair": "The dog is asleep."}

    (named,) = client.classify(pair, model="nli")
    (default,) = client.classify(pair)

    assert named["label"] == "entailment"
    assert default["label"] in {"NEGATIVE", "POSITIVE"}


def evaluation(rows: list[dict[str, Any]], path: Path, model: str, *arguments: str) -> dict[str, Any]:
    """The report of ``python -m models evaluate``."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    command = [sys.executable, "-m", "models", "evaluate", model, "--data", str(path), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize(
    ("model", "rows"),
    [
        ("sentiment", [{"text": text["text"], "label": "POSITIVE"} for text in read_examples()] * 2),
        ("nli", [{"text": text["text"], "label": text["kind"]} for text in read_examples()]),
        ("nli", [{"premise": "It rains.", "hypothesis": "It is wet.", "label": "entailment"}] * 3),
        ("qa", [{**q, "answers": [{"text": q["context"].split()[0]}]} for q in read_questions()]),
    ],
    ids=["sentiment", "zero-shot", "pairs", "questions"],
)
def test_an_evaluation_through_the_queue_gives_the_figures_of_one_in_process(
    server: LocalServer, tmp_path: Path, model: str, rows: list[dict[str, Any]]
) -> None:
    alone = evaluation(rows, tmp_path / "rows.jsonl", model)
    queued = evaluation(rows, tmp_path / "rows.jsonl", model, "--through-queue", "--broker-url", server.url)

    assert queued["through"] == "queue"
    assert {**queued, "through": "process"}.items() >= {
        name: alone[name] for name in ("model", "revision", "rows", "errors", "values", "through")
    }.items()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["examples.classify", "What a delight!", "Dull."], ["What a delight!: POSITIVE 0.9", "Dull.: NEGATIVE 0.9"]),
        (["examples.sort_by_topic", "--topics", "music, war", "A song for you"], ["A song for you: music 0."]),
        (["examples.ask", QUESTION, CONTEXT], ["Zebediah"]),
    ],
    ids=lambda value: value[0],
)
def test_the_example_programs_print_their_answers(
    server: LocalServer, arguments: list[str], expected: list[str]
) -> None:
    environment = {**os.environ, "CELERIAC_BROKER_URL": server.url}

    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=PATIENCE_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for line, beginning in zip(done.stdout.splitlines(), expected, strict=True):
        assert line.startswith(beginning)


def test_a_worker_that_has_one_model_leaves_the_other_tasks_to_others(own_server: LocalServer, tmp_path: Path) -> None:
    environment = {
        "CELERIAC_BROKER_URL": own_server.url,
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path / "leases"),
        "CELERIAC_MODELS": "qa",
    }
    with LocalWorker(["--concurrency=1"], environment) as other, Client(own_server.url, timeout_s=PATIENCE_S) as client:
        other.wait_until_ready()
        client.submit(TextClassificationRequest.parse({"inputs": "good"}))
        assert client.answer(QUESTION, CONTEXT)["answer"].startswith("Zebediah")
        assert "text-classification exchange" not in other.log
        with redis.Redis.from_url(own_server.url) as connected:
            assert connected.llen("text-classification") == 1
