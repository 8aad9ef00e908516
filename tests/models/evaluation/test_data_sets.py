"""Labelled data of each kind: recognized by its columns, sent as requests, judged by the metrics of its task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.errors import InvalidDataError
from models.evaluation.data_sets import DataSet, LabelledPairs, LabelledTexts, LabelledTopics, Questions, read_data_set
from producer.contract import (
    ErrorCode,
    InvalidRequest,
    QuestionAnsweringRequest,
    TaskName,
    TextClassificationRequest,
    ZeroShotClassificationRequest,
)
from tests.models.conftest import Rows

TEXT: dict[str, Any] = {"text": "so good", "label": "POSITIVE"}
PAIR: dict[str, Any] = {"premise": "It rains.", "hypothesis": "It is dry.", "label": "contradiction"}
QUESTION: dict[str, Any] = {"question": "Who?", "context": "Bob went.", "answers": [{"text": "Bob", "start": 0}]}
CLASSIFY, ZERO_SHOT, ANSWER = (
    TaskName.TEXT_CLASSIFICATION,
    TaskName.ZERO_SHOT_CLASSIFICATION,
    TaskName.QUESTION_ANSWERING,
)


@pytest.mark.parametrize(
    ("task", "row", "kind", "asked"),
    [
        (CLASSIFY, TEXT, LabelledTexts, CLASSIFY),
        (CLASSIFY, PAIR, LabelledPairs, CLASSIFY),
        (CLASSIFY, {**TEXT, **PAIR}, LabelledPairs, CLASSIFY),
        (ZERO_SHOT, TEXT, LabelledTopics, ZERO_SHOT),
        (ZERO_SHOT, PAIR, LabelledPairs, CLASSIFY),
        (ZERO_SHOT, {**TEXT, **PAIR}, LabelledPairs, CLASSIFY),
        (ANSWER, QUESTION, Questions, ANSWER),
        (ANSWER, {**QUESTION, "label": "x", "id": 7}, Questions, ANSWER),
    ],
)
def test_the_columns_of_the_first_row_say_which_kind_the_rows_are_and_what_is_asked(
    rows: Rows, task: TaskName, row: dict[str, Any], kind: type[DataSet], asked: TaskName
) -> None:
    data = read_data_set(rows([row, row]), task)
    assert type(data) is kind
    assert data.task is asked
    assert data.rows == [row, row]
    assert data.request(0, 2).task is asked


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


@pytest.mark.parametrize(
    ("task", "row", "needed"),
    [
        (CLASSIFY, without(TEXT, "text"), "premise, hypothesis, label or text, label"),
        (CLASSIFY, without(TEXT, "label"), "premise, hypothesis, label or text, label"),
        (CLASSIFY, QUESTION, "premise, hypothesis, label or text, label"),
        (CLASSIFY, without(PAIR, "premise"), "premise, hypothesis, label or text, label"),
        (ZERO_SHOT, without(PAIR, "label"), "premise, hypothesis, label or text, label"),
        (ANSWER, without(QUESTION, "answers"), "question, context, answers"),
        (ANSWER, TEXT, "question, context, answers"),
    ],
)
def test_rows_of_no_kind_are_refused_with_the_file_the_task_and_the_columns_of_each_kind(
    rows: Rows, task: TaskName, row: dict[str, Any], needed: str
) -> None:
    path = rows([row])
    with pytest.raises(InvalidDataError) as caught:
        read_data_set(path, task)
    assert str(caught.value) == f"{path}, line 1: a model for {task.value} needs rows with {needed}"


@pytest.mark.parametrize(
    ("task", "good", "bad", "column"),
    [
        (CLASSIFY, TEXT, without(TEXT, "label"), "str named 'label'"),
        (CLASSIFY, TEXT, {**TEXT, "text": 5}, "str named 'text'"),
        (CLASSIFY, PAIR, TEXT, "str named 'premise'"),
        (ZERO_SHOT, TEXT, PAIR, "str named 'text'"),
        (ANSWER, QUESTION, {**QUESTION, "answers": "Bob"}, "list named 'answers'"),
        (ANSWER, QUESTION, without(QUESTION, "context"), "str named 'context'"),
    ],
)
def test_a_row_unlike_the_first_is_refused_with_the_file_its_line_and_the_column(
    rows: Rows, task: TaskName, good: dict[str, Any], bad: Any, column: str
) -> None:
    path = rows([good, good, bad, good])
    with pytest.raises(InvalidDataError) as caught:
        read_data_set(path, task)
    assert str(caught.value) == f"{path}, line 3: needs a {column}"


@pytest.mark.parametrize("row", [["text", "label"], "text label", None, 5])
def test_a_first_row_that_is_no_object_is_refused_with_the_file_and_its_line(rows: Rows, row: Any) -> None:
    path = rows([row, TEXT])
    with pytest.raises(InvalidDataError, match="line 1") as caught:
        read_data_set(path, CLASSIFY)
    assert str(path) in str(caught.value)


def test_rows_for_calibration_need_no_label_but_topics_do(rows: Rows) -> None:
    assert type(read_data_set(rows([without(TEXT, "label")]), CLASSIFY, labelled=False)) is LabelledTexts
    assert type(read_data_set(rows([without(PAIR, "label")]), ZERO_SHOT, labelled=False)) is LabelledPairs
    assert type(read_data_set(rows([without(QUESTION, "answers")]), ANSWER, labelled=False)) is Questions
    with pytest.raises(InvalidDataError, match="needs rows with premise, hypothesis or text, label"):
        read_data_set(rows([without(TEXT, "label")]), ZERO_SHOT, labelled=False)


def test_only_the_first_rows_are_used_if_so_many_were_asked_for(rows: Rows) -> None:
    data = read_data_set(rows([{**TEXT, "text": str(number)} for number in range(5)]), CLASSIFY, limit=2)
    assert [row["text"] for row in data.rows] == ["0", "1"]


def test_data_are_named_by_their_directory_and_file(rows: Rows) -> None:
    path = rows([TEXT])
    assert read_data_set(path, CLASSIFY).name == f"{path.parent.name}/rows.jsonl"


def test_texts_and_pairs_are_asked_as_they_stand(rows: Rows) -> None:
    texts = read_data_set(rows([TEXT, {**TEXT, "text": "so bad"}, TEXT]), CLASSIFY).request(1, 3)
    assert texts == TextClassificationRequest.parse({"inputs": ["so bad", "so good"]})
    pairs = read_data_set(rows([PAIR]), ZERO_SHOT).request(0, 64)
    assert pairs == TextClassificationRequest.parse({"inputs": [{"text": "It rains.", "text_pair": "It is dry."}]})


TOPICS = [{"text": f"about {label}", "label": label} for label in ("sports", "business", "sports", "arts")]


@pytest.mark.parametrize(("template", "wanted"), [(None, "This example is {}."), ("About {}.", "About {}.")])
def test_topics_are_asked_with_the_labels_of_all_rows_and_the_template(
    rows: Rows, template: str | None, wanted: str
) -> None:
    request = read_data_set(rows(TOPICS), ZERO_SHOT, template=template).request(0, 1)
    assert request == ZeroShotClassificationRequest.parse(
        {
            "inputs": ["about sports"],
            "candidate_labels": ["arts", "business", "sports"],
            "hypothesis_template": wanted,
        }
    )


@pytest.mark.parametrize("labels", [2, 31, 32, 100])
def test_topics_are_asked_in_requests_that_are_small_enough_for_their_labels(rows: Rows, labels: int) -> None:
    data = read_data_set(rows([{"text": str(row), "label": f"label {row % labels}"} for row in range(150)]), ZERO_SHOT)
    asked = [text for request in data.requests() for text in request.items]  # type: ignore[attr-defined]
    assert asked == [str(row) for row in range(150)]


def test_questions_are_asked_with_answers_as_long_as_those_of_people(rows: Rows) -> None:
    request = read_data_set(rows([QUESTION]), ANSWER).request(0, 1)
    assert request == QuestionAnsweringRequest.parse(
        {"question": ["Who?"], "context": ["Bob went."], "max_answer_len": 30}
    )


@pytest.mark.parametrize(
    ("task", "rows_of", "template", "field"),
    [
        (CLASSIFY, [TEXT, {**TEXT, "text": ""}], None, "inputs[1]"),
        (CLASSIFY, [PAIR, {**PAIR, "hypothesis": "\x00"}], None, "inputs[1].text_pair"),
        (ZERO_SHOT, [TEXT, TEXT], "no place", "hypothesis_template"),
        (ZERO_SHOT, [{**TEXT, "label": str(number)} for number in range(101)], None, "candidate_labels"),
        (ANSWER, [QUESTION, {**QUESTION, "context": ""}], None, "context[1]"),
    ],
)
def test_rows_that_are_no_valid_request_are_refused_with_the_file_which_they_are_and_the_field(
    rows: Rows, task: TaskName, rows_of: list[dict[str, Any]], template: str | None, field: str
) -> None:
    path = rows(rows_of)
    data = read_data_set(path, task, template=template)
    last = min(64, len(rows_of))
    with pytest.raises(InvalidDataError) as caught:
        data.request(0, 64)
    assert str(caught.value).startswith(f"{path}, rows 1 to {last}: {field}: ")


def judged(kind: type[DataSet], row: dict[str, Any], result: Any) -> tuple[float, ...]:
    return kind(Path("rows.jsonl"), [row]).judge(row, result)


@pytest.mark.parametrize(("label", "value"), [("POSITIVE", 1.0), ("NEGATIVE", 0.0), ("positive", 0.0)])
def test_a_text_is_right_if_its_best_label_is_that_of_the_row(label: str, value: float) -> None:
    result = [{"label": label, "score": 0.6}, {"label": "OTHER", "score": 0.4}]
    assert judged(LabelledTexts, TEXT, result) == (value,)
    assert judged(LabelledPairs, {**PAIR, "label": "POSITIVE"}, result) == (value,)


@pytest.mark.parametrize(("labels", "value"), [(["sports", "arts"], 1.0), (["arts", "sports"], 0.0)])
def test_a_topic_is_right_if_it_is_the_best_of_all(labels: list[str], value: float) -> None:
    result = {"sequence": "about sports", "labels": labels, "scores": [0.9, 0.1]}
    assert judged(LabelledTopics, TOPICS[0], result) == (value,)


@pytest.mark.parametrize(
    ("answer", "values"),
    [("the Bob", (1.0, 1.0)), ("Bob went", (2 / 3, 0.0)), ("", (0.0, 0.0)), ("Robert", (1.0, 1.0))],
)
def test_an_answer_is_judged_by_f1_and_exact_match_with_the_best_reference(
    answer: str, values: tuple[float, float]
) -> None:
    row = {**QUESTION, "answers": [{"text": "Bob"}, {"text": "Robert"}]}
    assert Questions.metrics == ("f1", "exact_match")
    assert judged(Questions, row, {"score": 0.5, "start": 0, "end": 3, "answer": answer}) == pytest.approx(values)


@pytest.mark.parametrize(
    ("kind", "row"), [(LabelledTexts, TEXT), (LabelledPairs, PAIR), (LabelledTopics, TOPICS[0]), (Questions, QUESTION)]
)
def test_an_error_is_wrong_by_every_metric(kind: type[DataSet], row: dict[str, Any]) -> None:
    error = InvalidRequest.of(ErrorCode.TOO_MANY_TOKENS, "too long")
    assert judged(kind, row, error) == (0.0,) * len(kind.metrics)
