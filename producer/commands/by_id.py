"""A line for each of some requests, which the command line names by their ids."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

import click

from producer.commands.failures import reported

__all__ = ["print_each"]


def print_each(ids: Iterable[str], name: str, say: Callable[[str], str], *, as_json: bool) -> None:
    """Print what there is to say of each request, as soon as it is known.

    Args:
        ids: of the requests.
        name: the name of the value in a line of JSON.
        say: does something with a request, and returns the value.
        as_json: whether to print JSON Lines; they are printed too if nobody sees a table.
    """
    from producer.commands.json_lines import as_bytes

    is_table = sys.stdout.isatty() and not as_json
    with reported():
        for request_id in ids:
            value = say(request_id)
            line = {"id": request_id, name: value}
            click.echo(f"{request_id}  {value}\n" if is_table else as_bytes(line), nl=False)
