"""Which hypothesis templates are accepted, and the sentences that they give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.contract import MAX_LABEL_CHARACTERS, ErrorCode, InvalidRequest, ZeroShotClassificationRequest
from tests.producer.helpers import MARKER, refusal_of
from tests.producer.strategies import texts


def hypotheses_of(template: str, labels: str | list[str]) -> list[str]:
    arguments = {"inputs": "a", "candidate_labels": labels, "hypothesis_template": template}
    return ZeroShotClassificationRequest.parse(arguments).hypotheses


def refusal(template: object) -> InvalidRequest:
    arguments = {"inputs": "a", "candidate_labels": "x", "hypothesis_template": template}
    return refusal_of(ZeroShotClassificationRequest, arguments)


def escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def test_a_label_is_asked_for_as_an_example_when_nothing_else_is_said() -> None:
    request = ZeroShotClassificationRequest.parse({"inputs": "a", "candidate_labels": "sports, public health"})
    assert request.hypotheses == ["This example is sports.", "This example is public health."]


@pytest.mark.parametrize(
    ("template", "hypothesis"),
    [
        ("{}", "x"),
        ("{0}", "x"),
        ("This is {}!", "This is x!"),
        ("{0} or not {0}", "x or not x"),
        ("{{}} is {}", "{} is x"),
        ("{{{}}}", "{x}"),
        ("{{0}} and {0}", "{0} and x"),
        ("„{}“ \U0001f600", "„x“ \U0001f600"),
    ],
)
def test_a_template_may_hold_the_label_once_or_by_number_and_other_braces_doubled(
    template: str, hypothesis: str
) -> None:
    assert hypotheses_of(template, ["x"]) == [hypothesis]


@pytest.mark.parametrize(
    "template",
    [
        "It is so.",
        "{{}}",
        "{{0}}",
        "{} and {}",
        "{} and {0}",
        "{1}",
        "{0} and {1}",
        "{label}",
        "{ }",
        "{:9}",
        "{:999999999}",
        "{0:>999999999}",
        "{:{}}",
        "{0:{0}}",
        "{!r}",
        "{0!s}",
        "{.__class__}",
        "{0.__class__.__mro__}",
        "{0[0]}",
        "{",
        "}",
        "{}}",
        "{{}",
        "{0",
        "{}{",
        "{!}",
        "{!x:}",
    ],
)
def test_any_other_template_is_refused_whatever_format_would_make_of_it(template: str) -> None:
    error = refusal(f"{MARKER} {template}")
    assert (error.code, error.field, error.limit) == (ErrorCode.NOT_ALLOWED, "hypothesis_template", None)
    assert error.message == (
        "hypothesis_template: must contain {} where the label goes; write other braces as {{ and }}"
    )


@pytest.mark.parametrize(
    ("template", "code", "limit"),
    [
        ("", ErrorCode.EMPTY, None),
        (5, ErrorCode.WRONG_TYPE, None),
        (None, ErrorCode.WRONG_TYPE, None),
        (["{}"], ErrorCode.WRONG_TYPE, None),
        (f"{MARKER} {{}} \x00", ErrorCode.INVALID_CHARACTER, None),
        (MARKER + "x" * MAX_LABEL_CHARACTERS + "{}", ErrorCode.TOO_LONG, MAX_LABEL_CHARACTERS),
        ("{0}" * 5, ErrorCode.NOT_ALLOWED, 4),
    ],
)
def test_a_template_that_is_no_short_text_is_refused(template: object, code: ErrorCode, limit: int | None) -> None:
    error = refusal(template)
    assert (error.code, error.field, error.limit) == (code, "hypothesis_template", limit)


def test_braces_in_a_label_stay_as_they_are() -> None:
    assert hypotheses_of("This is {}.", ["{}", "{0}", "{", "{0.__class__}"]) == [
        "This is {}.",
        "This is {0}.",
        "This is {.",
        "This is {0.__class__}.",
    ]


@given(before=texts(), after=texts(), labels=st.lists(texts(), min_size=1, max_size=5))
def test_a_hypothesis_is_the_template_with_the_label_in_the_place_of_the_braces(
    before: str, after: str, labels: list[str]
) -> None:
    template = f"{escaped(before)}{{}}{escaped(after)}"
    assert hypotheses_of(template, labels) == [f"{before}{label}{after}" for label in labels]


@given(template=st.text("{}01:!.[]rsa _9", max_size=20), label=texts())
def test_a_template_that_is_accepted_makes_nothing_but_the_label_and_its_own_text(template: str, label: str) -> None:
    try:
        (hypothesis,) = hypotheses_of(template, [label])
    except InvalidRequest:
        return
    assert label in hypothesis
    assert len(hypothesis) <= len(template) + template.count("{") * len(label)
