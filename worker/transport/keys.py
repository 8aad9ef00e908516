"""The names of the keys that the scripts use."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Keys"]


@dataclass(frozen=True)
class Keys:
    """Keys as the server sees them, with the global prefix.

    Attributes:
        unacked_index: kombu's sorted set of delivery tags, by the time of delivery.
        unacked: kombu's hash of unacknowledged messages, by delivery tag.
        prefix: the global prefix.
    """

    unacked_index: str
    unacked: str
    prefix: str

    @classmethod
    def of_prefix(cls, prefix: str = "") -> Keys:
        """The keys of an app that has changed nothing but kombu's ``global_keyprefix``."""
        return cls(f"{prefix}unacked_index", f"{prefix}unacked", prefix)

    @property
    def leases(self) -> str:
        """The leases, by when they end; see ``lease.lua``."""
        return f"{self.unacked}.leases"

    @property
    def ended_leases(self) -> str:
        """The leases that have ended and may still hold messages, by when they ended."""
        return f"{self.unacked}.leases.ended"

    @property
    def lease_prefix(self) -> str:
        """With a lease's number after it, the key that is there as long as the lease is good."""
        return f"{self.unacked}.lease."

    def lease(self, lease: str) -> str:
        """That key of one lease, whose name begins with its number."""
        return self.lease_prefix + lease.partition(" ")[0]

    @property
    def search(self) -> str:
        """Who searches for what ended leases hold; see ``find_held.lua``."""
        return f"{self.unacked}.leases.search"

    @property
    def lease_number(self) -> str:
        """The number of the last lease that was taken."""
        return f"{self.unacked}.leases.last"

    def record(self, consumer_id: str) -> str:
        """What the last fetch of a consumer recorded as unacknowledged."""
        return f"{self.unacked}.fetched.{consumer_id}"

    def idle(self, group: str) -> str:
        """The idle consumers that read the same lists."""
        return f"{self.unacked}.idle.{group}"

    @property
    def bell_prefix(self) -> str:
        """With a consumer's id after it, the key that is written to wake that consumer."""
        return f"{self.unacked}.bell."

    @property
    def dead_letters(self) -> str:
        """The stream of the dead letters; `dead_letters.lua` makes the same name."""
        return f"{self.unacked}.dead.letters"

    @property
    def dead_letter_counts(self) -> str:
        """The hash of their counts."""
        return f"{self.unacked}.dead.counts"
