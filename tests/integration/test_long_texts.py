"""A document of 5,000 words through the queue: only windows see its last sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from examples.local_stack import PATIENCE_S, LocalServer
from models import pipelines
from models.store import BUNDLED_DIRECTORY, find
from producer import Client, InvalidRequest, TextClassificationRequest
from producer.contract import ErrorCode
from tests.models.options import engine_options
from tests.models.pipelines.test_long_texts import BAD, BOX, CHAPTERS, SOUP, TOPICS, WORDS, document

pytestmark = pytest.mark.usefixtures("worker")

REVIEW, REPORT = document(CHAPTERS, BAD), document(BOX, SOUP)
WINDOWS: dict[str, Any] = {"truncation": "windows", "combine_windows": "max"}


def test_the_last_sentence_of_a_long_document_decides_for_every_kind_of_sender(
    client: Client, stock: Celery, server: LocalServer, tmp_path: Path
) -> None:
    assert len(REVIEW.split()) == len(REPORT.split()) == WORDS
    path = tmp_path / "requests.jsonl"
    path.write_text(json.dumps({"task": "text-classification", "inputs": REVIEW, **WINDOWS}))
    command = [sys.executable, "-m", "producer", "--broker-url", server.url, str(path)]

    cut = client.classify(REVIEW, timeout_s=PATIENCE_S)
    ours = client.classify(REVIEW, truncation="windows", combine_windows="max", timeout_s=PATIENCE_S)
    theirs = stock.send_task("text-classification", kwargs={"inputs": REVIEW, **WINDOWS}).get(timeout=PATIENCE_S)
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    assert done.returncode == 0, done.stderr
    assert [entry["label"] for entry in cut] == ["POSITIVE"]
    assert [entry["label"] for entry in ours] == ["NEGATIVE"]
    sentiment = pipelines.load(find("sentiment", BUNDLED_DIRECTORY), engine_options())
    ((here,),) = sentiment.answer([TextClassificationRequest.parse({"inputs": REVIEW, **WINDOWS})])
    assert ours == theirs == json.loads(done.stdout)["result"] == here


def test_the_last_sentence_of_a_long_document_is_a_topic_of_it(client: Client) -> None:
    labels = [
        client.classify_zero_shot(REPORT, TOPICS, multi_label=True, max_seq_len=128, timeout_s=PATIENCE_S, **parameters)
        for parameters in ({}, {**WINDOWS, "doc_stride": 16})
    ]

    assert [result["labels"][0] for result in labels] == ["business", "food"]


def test_a_document_that_needs_too_many_windows_is_refused_and_the_others_are_answered(client: Client) -> None:
    arguments: dict[str, Any] = {"truncation": "windows", "max_seq_len": 32, "timeout_s": PATIENCE_S}
    longest = "a " * 50_000

    with pytest.raises(InvalidRequest) as caught:
        client.classify(longest, **arguments)
    refused, answered = client.classify([longest, "good"], **arguments)

    assert (caught.value.code, caught.value.field, caught.value.limit) == (ErrorCode.TOO_MANY, "inputs", 2000)
    assert isinstance(refused, dict)
    assert refused["error"]["field"] == "inputs[0]"
    assert isinstance(answered, list)
    assert answered[0]["label"] == "POSITIVE"
