"""The name of a worker in Redis, unique to each start of each worker.

The node name is not unique: two workers on a host are both ``celery@host`` unless they are named with ``-n``.
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
        node: the worker's node name, which another worker may share.
        start: a random part, new at each start.
    """

    node: str
    start: str

    @classmethod
    def of_new_start(cls, node: str) -> Self:
        """Make the identity of a worker that starts now."""
        return cls(node, secrets.token_hex(_START_BYTES))

    def __str__(self) -> str:
        """The form in keys and set members. Older versions wrote the node name alone."""
        return f"{self.node}#{self.start}"
