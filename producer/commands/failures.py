"""How a command ends that could not do what it was asked for: what it prints, and its exit status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import click

__all__ = ["ExitStatus", "Failure", "reported"]


class ExitStatus(IntEnum):
    """What the exit status of a command means."""

    DONE = 0
    NOT_ALL_ANSWERED = 1
    WRONG_USAGE = 2
    UNAVAILABLE = 3
    INTERRUPTED = 130


class Failure(click.ClickException):
    """The command ends.

    Args:
        message: what is wrong, and what to do about it.
        status: the exit status.
    """

    def __init__(self, message: str, status: ExitStatus) -> None:
        super().__init__(message)
        self.status = status

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """The exit status, as click asks for it."""
        return self.status

    def show(self, file: object = None) -> None:  # noqa: ARG002 - of click
        """Print it to standard error."""
        click.echo(f"error: {self.message}", err=True)


@contextmanager
def reported(*, advice: str = "") -> Iterator[None]:
    """Turn the errors of a client, and Ctrl-C, into a :class:`Failure`.

    Args:
        advice: what else to do.
    """
    # Loaded here, as the help needs no errors.
    from producer.errors import BrokerUnavailable, ServiceUnavailable, WaitTimeout

    more = f". {advice}" if advice else ""
    try:
        yield
    except ServiceUnavailable as error:
        server = "BROKER" if isinstance(error, BrokerUnavailable) else "RESULT_BACKEND"
        option = f"--{server.lower().replace('_', '-')}-url"
        where = f"check that the server of {option} or CELERIAC_{server}_URL is running"
        raise Failure(f"{error}; {where}{more}", ExitStatus.UNAVAILABLE) from None
    except WaitTimeout as error:
        where = "check that a worker runs that serves this task and model, or give it more time with --timeout-s"
        raise Failure(f"{error}; {where}{more}", ExitStatus.UNAVAILABLE) from None
    except KeyboardInterrupt:
        raise Failure(f"interrupted{more}", ExitStatus.INTERRUPTED) from None
