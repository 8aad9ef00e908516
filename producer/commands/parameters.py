"""The parameters of the contract as options. What is not given is not sent; the worker applies its default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from producer.contract import Request
    from producer.errors import InvalidRequest

__all__ = ["OPTION_OF", "check_options", "given", "json_option", "long_text_options", "model_option", "top_k_option"]

F = TypeVar("F", bound=Callable[..., Any])
#: The options that are not called as the parameter is.
OPTION_OF = {"candidate_labels": "--labels"}


class _TopK(click.ParamType[Any]):
    name = "number or 'all'"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "all":
            return value
        if not str(value).isdecimal():
            self.fail(f"{value!r} is neither a number from 1 nor 'all'.", param, ctx)
        return int(value)


def model_option(function: F) -> F:
    """``--model``."""
    return click.option("--model", help="Name of the model; by default the worker's first one for the task.")(function)


def json_option(function: F) -> F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON Lines on a terminal too.")(function)


def top_k_option(what: str, *, default: str = "1") -> Callable[[F], F]:
    """``--top-k``.

    Args:
        what: of what so many are returned.
        default: what the worker does without it.
    """
    help_text = f"How many {what} to print, best first.  [default: {default}]"
    return click.option("--top-k", type=_TopK(), metavar="N|all", help=help_text)


def long_text_options(function: F) -> F:
    """What becomes of a text that is longer than the model reads."""
    options = [
        click.option(
            "--truncation",
            type=click.Choice(["true", "false", "windows"]),
            help="Of a text that is longer than the model reads: cut it, make it an error, or read all of it in "
            "overlapping windows.  [default: true]",
        ),
        click.option(
            "--combine-windows",
            type=click.Choice(["mean", "max"]),
            help="How the scores of windows become those of the text.  [default: mean]",
        ),
        click.option("--max-seq-len", type=int, help="Length of a window, in tokens.  [default: what the model reads]"),
        click.option("--doc-stride", type=int, help="By how many tokens windows overlap.  [default: 128]"),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that the options name, as the contract has them."""
    parameters = {name: value for name, value in options.items() if value is not None and value is not False}
    if parameters.get("top_k") == "all":
        parameters["top_k"] = None
    truncation = parameters.get("truncation")
    if truncation in {"true", "false"}:
        parameters["truncation"] = truncation == "true"
    return parameters


def check_options(schema: type[Request], parameters: Mapping[str, Any]) -> None:
    """Check parameters by themselves, with a text that is valid.

    Raises:
        click.BadParameter: one is wrong. It names the option and the limit.
    """
    from producer.errors import InvalidRequest

    try:
        schema.parse({**dict.fromkeys(schema.item_fields, "a"), **parameters})
    except InvalidRequest as error:
        raise _bad_option(error) from None


def _bad_option(error: InvalidRequest) -> click.BadParameter:
    name = (error.field or "").partition("[")[0]
    message = error.message.removeprefix(f"{error.field}: ")
    return click.BadParameter(message, param_hint=OPTION_OF.get(name, f"--{name.replace('_', '-')}"))
