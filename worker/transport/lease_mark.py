"""How a record in ``unacked`` says by which lease its message is held: in white space after its JSON.

Stock kombu and every other reader of JSON skip it. A record that does not end like this is held by no lease. In the
scripts, ``string.sub(record, -17) == ']' .. mark`` asks whose a record is.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["mark_of"]

_DIGITS = str.maketrans({f"{n:x}": " \t\n\r"[n >> 2] + " \t\n\r"[n & 3] for n in range(16)})
#: Leases whose numbers differ by this have the same mark; it is far more than there are at a time.
_NUMBERS = 2**32


@lru_cache(maxsize=64)
def mark_of(lease: str) -> str:
    """The mark of a lease, 16 characters: its number in base 4, where space, tab, LF and CR are the digits.

    Args:
        lease: the lease, its number first. Without one the mark is empty.
    """
    return f"{int(lease.partition(' ')[0]) % _NUMBERS:08x}".translate(_DIGITS) if lease else ""
