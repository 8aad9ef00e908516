"""``cancel``: requests are dropped that no worker has started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.commands.by_id import print_each
from producer.commands.connection import with_client
from producer.commands.parameters import json_option

if TYPE_CHECKING:
    from producer.client import Client

__all__ = ["command"]

_HELP = """Have requests dropped, by their ids, unless a worker has started them.

Prints a table on a terminal, else JSON Lines: {"id": …, "cancel": "sent"}. `status` says later what came of it.

\b
    python -m producer cancel 0b9f6c5e-7f0e-4d7e-9a52-6f4f1a1c2f7d

Exit status: 0 if the workers were told, 2 for a usage error, 3 if the broker is unavailable.
"""


@click.command("cancel", help=_HELP)
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@with_client(timeout_s=10.0)
def command(client: Client, *, ids: tuple[str, ...], as_json: bool) -> None:
    """Have requests dropped."""

    def cancel(request_id: str) -> str:
        client.cancel(request_id)
        return "sent"

    print_each(ids, "cancel", cancel, as_json=as_json)
