"""What a worker is called in Redis: a name that no other start of a worker has.

A node name will not do: two workers on a host are both ``celery@host`` unless they are given names with ``-n``.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Self

__all__ = ["WorkerIdentity"]

_START_BYTES = 6


@dataclass(frozen=True)
class WorkerIdentity:
    """One start of one worker.

    Attributes:
        node: the worker's node name, which another one may have as well.
        start: drawn at random for each start.
    """

    node: str
    start: str

    @classmethod
    def of_new_start(cls, node: str) -> Self:
        """The identity of a worker that starts now."""
        return cls(node, secrets.token_hex(_START_BYTES))

    def __str__(self) -> str:
        """As it stands in keys and members; versions before this one had the node name alone there."""
        return f"{self.node}#{self.start}"
