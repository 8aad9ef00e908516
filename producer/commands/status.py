"""``status``: how far requests have come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.commands.by_id import print_each
from producer.commands.connection import with_client
from producer.commands.parameters import json_option

if TYPE_CHECKING:
    from producer.client import Client

__all__ = ["command"]

_HELP = """Say how far requests have come, by their ids.

Prints a table on a terminal, else JSON Lines: {"id": …, "status": …}. The statuses are pending (it waits, its id is
unknown, or its result has expired), started, succeeded, failed, expired and cancelled.

\b
    python -m producer status 0b9f6c5e-7f0e-4d7e-9a52-6f4f1a1c2f7d

Exit status: 0, 2 for a usage error, 3 if the result backend is unavailable.
"""


@click.command("status", help=_HELP)
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@with_client(timeout_s=10.0)
def command(client: Client, *, ids: tuple[str, ...], as_json: bool) -> None:
    """Say how far requests have come."""
    print_each(ids, "status", lambda request_id: client.status(request_id).value, as_json=as_json)
