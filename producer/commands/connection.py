"""The options that say which servers a command talks to, and how long."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from producer.client import Client

__all__ = ["Servers", "with_client"]

#: Takes the URLs that the options name, or None; returns those of the broker and of the result backend, or None.
Servers = Callable[[str | None, str | None], tuple[str, str | None]]
Command = Callable[..., None]


def with_client(*, timeout_s: float) -> Callable[[Command], Command]:
    """Give a command the options of a connection, and as its first argument a client that is made of them.

    Args:
        timeout_s: how long a request may take if ``--timeout-s`` does not say.
    """

    def decorate(function: Command) -> Command:
        @click.option("--broker-url", help="URL of the broker; a password in it must be percent-encoded.")
        @click.option("--result-backend-url", help="URL of the result backend; the broker by default.")
        @click.option(
            "--timeout-s",
            type=click.FloatRange(0, min_open=True),
            default=timeout_s,
            show_default=True,
            help="How long a request may take, in seconds.",
        )
        @click.pass_obj
        @functools.wraps(function)
        def command(
            servers: Servers,
            /,
            *,
            broker_url: str | None,
            result_backend_url: str | None,
            timeout_s: float,
            **more: Any,
        ) -> None:
            client = _client(servers, broker_url, result_backend_url, timeout_s)
            with client:
                function(client, **more)

        return command

    return decorate


def _client(servers: Servers, broker_url: str | None, result_backend_url: str | None, timeout_s: float) -> Client:
    from producer.client import Client

    try:
        return Client(*servers(broker_url, result_backend_url), timeout_s=timeout_s)
    except ValueError as error:
        # The client names its arguments; the options are called the same.
        message = str(error).replace("timeout_s", "--timeout-s", 1)
        raise click.UsageError(message) from None
