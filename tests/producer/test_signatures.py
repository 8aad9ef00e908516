"""What ``help()`` and editors show for the calls: every parameter by name, with the default that the worker applies."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

import producer
from producer import (
    Answer,
    AsyncClient,
    AsyncRequestHandle,
    CeleriacError,
    Client,
    InvalidRequest,
    RequestHandle,
    RequestStatus,
)
from producer.contract import (
    AnswerSpan,
    ItemFailure,
    LabelScore,
    QuestionAnsweringRequest,
    Request,
    TextClassificationRequest,
    ZeroShotClassificationRequest,
    ZeroShotResult,
)

if TYPE_CHECKING:
    # `make lint` checks the types that a caller's type checker infers for the calls.
    async def check_async_types(client: AsyncClient) -> None:
        typing.assert_type(await client.classify("a", top_k=None), list[LabelScore])
        typing.assert_type(await client.classify(["a"]), list[list[LabelScore] | ItemFailure])
        typing.assert_type(await client.classify_zero_shot("a", "x"), ZeroShotResult)
        typing.assert_type(await client.answer("a?", "b"), AnswerSpan)
        handle = await client.submit_classify("a", request_id="mine")
        typing.assert_type(handle, AsyncRequestHandle[list[LabelScore]])
        typing.assert_type(await handle, list[LabelScore])
        typing.assert_type(await handle.status(), RequestStatus)
        async for outcome in client.map([TextClassificationRequest.parse({"inputs": "a"})]):
            typing.assert_type(outcome, Answer | CeleriacError)

    def check_handle_types(client: Client) -> None:
        typing.assert_type(client.submit_classify("a").result(), list[LabelScore])
        typing.assert_type(client.submit_classify(["a"]), RequestHandle[list[list[LabelScore] | ItemFailure]])
        typing.assert_type(client.submit_classify_zero_shot("a", "x").result(), ZeroShotResult)
        typing.assert_type(client.submit_answer("a?", "b").result(timeout_s=1), AnswerSpan)

    def check_types(client: Client, top_k: int) -> None:
        typing.assert_type(client.classify("a", top_k=None, model="m"), list[LabelScore])
        typing.assert_type(client.classify(["a"], truncation=False), list[list[LabelScore] | ItemFailure])
        typing.assert_type(client.classify_zero_shot("a", "x", multi_label=True), ZeroShotResult)
        typing.assert_type(client.classify(["a"], truncation="windows"), list[list[LabelScore] | ItemFailure])
        typing.assert_type(client.classify_zero_shot(["a"], ["x"]), list[ZeroShotResult | ItemFailure])
        typing.assert_type(client.answer("a?", "b", doc_stride=10), AnswerSpan)
        typing.assert_type(client.answer("a?", "b", top_k=top_k, timeout_s=1), AnswerSpan | list[AnswerSpan])
        typing.assert_type(client.answer(["a?"], ["b"]), list[AnswerSpan | list[AnswerSpan] | ItemFailure])


SCHEMAS: dict[str, type[Request]] = {
    "classify": TextClassificationRequest,
    "classify_zero_shot": ZeroShotClassificationRequest,
    "answer": QuestionAnsweringRequest,
}
#: The parameters of a call that are not parameters of its request.
OF_THE_CALL = {"self", "timeout_s"}
OF_A_SUBMIT = {"queue_class", "expires_s", "request_id"}
#: Every typed call of both clients, and the name of the call whose request it sends.
TYPED_CALLS = {
    f"{client.__name__}.{prefix}{name}": (getattr(client, prefix + name), name)
    for client in (Client, AsyncClient)
    for prefix in ("", "submit_")
    for name in SCHEMAS
}


def public_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every function of ours that is reachable from an exported name, with its overloads."""
    for name in producer.__all__:
        exported = getattr(producer, name)
        classes = inspect.getmro(exported) if inspect.isclass(exported) else ()
        members = [member for cls in classes if cls.__module__.startswith("producer") for member in vars(cls).items()]
        for member_name, member in [*members, (name, exported)]:
            function = getattr(member, "__func__", member)
            if inspect.isfunction(function) and (not member_name.startswith("_") or member_name == "__init__"):
                yield f"{name}.{member_name}", function
                for number, overload in enumerate(typing.get_overloads(function)):
                    yield f"{name}.{member_name}, overload {number}", overload


PUBLIC = dict(public_functions())


def test_both_clients_have_the_same_surface() -> None:
    def surface(client: type) -> dict[str, list[str]]:
        functions = inspect.getmembers(client, inspect.isfunction)
        public = {name: inspect.signature(function) for name, function in functions if not name.startswith("_")}
        return {name: list(signature.parameters) for name, signature in public.items()}

    assert surface(Client) == surface(AsyncClient)


def test_the_calls_of_the_client_are_among_the_public_functions() -> None:
    assert {f"Client.{name}" for name in (*SCHEMAS, "submit", "wait", "map", "__init__")} <= set(PUBLIC)
    assert "Client.answer, overload 2" in PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_no_public_function_hides_its_parameters(name: str) -> None:
    parameters = inspect.signature(PUBLIC[name]).parameters.values()
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    assert [parameter.name for parameter in parameters if parameter.kind in variable] == []


@pytest.mark.parametrize("name", TYPED_CALLS)
def test_a_call_has_the_parameters_of_its_request_with_the_same_defaults(name: str) -> None:
    function, task = TYPED_CALLS[name]
    fields = SCHEMAS[task].model_fields
    parameters = inspect.signature(function).parameters
    own = OF_THE_CALL | OF_A_SUBMIT if "submit_" in name else OF_THE_CALL
    assert set(parameters) - set(fields) == own
    assert set(fields) <= set(parameters)
    for field, described in fields.items():
        if described.is_required():
            assert parameters[field].default is inspect.Parameter.empty
        else:
            assert (type(parameters[field].default), parameters[field].default) == (
                type(described.default),
                described.default,
            )


@pytest.mark.parametrize("name", TYPED_CALLS)
def test_an_overload_has_the_parameters_and_the_defaults_of_its_function(name: str) -> None:
    function, _ = TYPED_CALLS[name]
    parameters = inspect.signature(function).parameters
    for overload in typing.get_overloads(function):
        overloaded = inspect.signature(overload).parameters
        assert set(overloaded) == set(parameters)
        stated = {key: value.default for key, value in overloaded.items() if value.default is not value.empty}
        assert stated == {key: parameters[key].default for key in stated}


@pytest.mark.parametrize("name", TYPED_CALLS)
def test_help_names_each_parameter_and_says_what_it_is(name: str) -> None:
    function, _ = TYPED_CALLS[name]
    parameters = set(inspect.signature(function).parameters) - {"self"}
    documented = inspect.getdoc(function) or ""
    assert [parameter for parameter in parameters if f"    {parameter}: " not in documented] == []


@pytest.mark.parametrize(
    ("name", "inputs"), [("classify", ["a"]), ("classify_zero_shot", ["a", "x"]), ("answer", ["a?", "b"])]
)
def test_a_parameter_that_does_not_exist_is_pythons_own_error(own_client: Client, name: str, inputs: list[str]) -> None:
    with pytest.raises(TypeError, match="multi_class"):
        getattr(own_client, name)(*inputs, multi_class=True)


@pytest.mark.parametrize(("name", "parameter"), [("top_k", True), ("top_k", 1.0), ("truncation", 1)])
def test_what_only_equals_a_default_is_checked_all_the_same(own_client: Client, name: str, parameter: Any) -> None:
    arguments: dict[str, Any] = {name: parameter}
    with pytest.raises(InvalidRequest) as caught:
        own_client.classify("a", **arguments)
    assert caught.value.field == name
