"""The part of a server's URL that names Sentinels: ``sentinel://HOST:PORT,HOST:PORT/DB?master_name=NAME``.

Celery spells several of them ``sentinel://HOST:PORT/DB;sentinel://HOST:PORT/DB``, which is accepted too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from producer.errors import InvalidRedisUrl

__all__ = ["SENTINEL_PARAMETERS", "SENTINEL_PORT", "Sentinels", "join_spellings"]

SENTINEL_PORT = 26379
SENTINEL_PARAMETERS = ("master_name", "sentinel_username", "sentinel_password")
_CELERYS_SEPARATOR = ";sentinel://"


@dataclass(frozen=True)
class Sentinels:
    """The Sentinels that know which server is the master.

    Attributes:
        master_name: what they call the master.
        addresses: host and port of each; IPv6 without brackets.
        username: of the Sentinels; None for their default user.
        password: of the Sentinels, which is not that of the servers; None if there is none.
    """

    master_name: str
    addresses: tuple[tuple[str, int], ...]
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def from_parameters(cls, addresses: Iterable[tuple[str, int]], parameters: Mapping[str, str]) -> Sentinels:
        """Make them from the addresses and parameters of a URL.

        Raises:
            InvalidRedisUrl: the master has no name, or there is a user without a password.
        """
        username, password = parameters.get("sentinel_username"), parameters.get("sentinel_password")
        if "master_name" not in parameters:
            raise InvalidRedisUrl("the master needs a name: write sentinel://HOST:PORT,HOST:PORT/0?master_name=NAME")
        if username is not None and password is None:
            raise InvalidRedisUrl("sentinel_username requires sentinel_password")
        return cls(parameters["master_name"], tuple(addresses), username, password)

    @property
    def hosts(self) -> str:
        """``host:port`` of each, joined by commas."""
        return ",".join(f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in self.addresses)

    @property
    def parameters(self) -> dict[str, str]:
        """Its parameters in a URL, the password included."""
        values = (self.master_name, self.username, self.password)
        return {name: value for name, value in zip(SENTINEL_PARAMETERS, values, strict=True) if value is not None}


def join_spellings(rest: str) -> str:
    """What follows the scheme, with Celery's spelling of several Sentinels turned into ours.

    Raises:
        InvalidRedisUrl: credentials or databases differ, or parameters are not at the end.
    """
    *chunks, last = rest.split(_CELERYS_SEPARATOR)
    if not chunks:
        return rest
    last, question_mark, query = last.partition("?")
    if any("?" in chunk for chunk in chunks):
        raise InvalidRedisUrl("the parameters of several Sentinels must be at the end, after the last one")
    authorities, paths = zip(
        *((chunk.partition("/")[0], chunk.partition("/")[2]) for chunk in (*chunks, last)), strict=True
    )
    credentials, hosts = zip(*((one.rpartition("@")[0], one.rpartition("@")[2]) for one in authorities), strict=True)
    credential = _the_one(credentials, "user and password")
    path = _the_one(paths, "database")
    return f"{credential}{'@' if credential else ''}{','.join(hosts)}/{path}{question_mark}{query}"


def _the_one(values: Iterable[str], what: str) -> str:
    given = {value for value in values if value}
    if len(given) > 1:
        raise InvalidRedisUrl(f"all Sentinels must be written with the same {what}: they lead to one master")
    return given.pop() if given else ""
