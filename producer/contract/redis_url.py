"""The URL of a Redis or Valkey server: what it means, and why one is refused. No message repeats a part of it.

The forms are those of redis-py (``redis.connection.parse_url``), and kombu's ``redis+socket://``. redis-py, kombu and
Celery read them differently, and report a wrong one with a piece of its password; so a URL is read here, once, and
passed on in a form that all of them read alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlencode

from producer.errors import InvalidRedisUrl

__all__ = ["RedisUrl", "Scheme", "server_url"]

_MAX_PORT = 65535
#: What ends a user or a password, or begins an escape, wherever it stands.
_ENCODED = "#%/?@"
_NOT_ENCODED = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BLANK = re.compile(r"[\x00-\x20\x7f]")
_HOST = re.compile(r"(?P<ipv6>\[[0-9A-Fa-f:.]+\])?(?P<name>[\w.-]*)(?::(?P<port>[0-9]+))?", re.ASCII)
#: Schemes of others, and what to write instead.
_OTHER_SCHEMES = {
    "valkey": "write redis://, which Valkey speaks as well",
    "valkeys": "write rediss://, which Valkey speaks as well",
    "redis+ssl": "write rediss://",
    "sentinel": "Sentinel is not supported: name the server itself, or a proxy that follows the master",
    "redis+sentinel": "Sentinel is not supported: name the server itself, or a proxy that follows the master",
}
_CERT_REQS = {
    "none": "none",
    "optional": "optional",
    "required": "required",
    "CERT_NONE": "none",
    "CERT_OPTIONAL": "optional",
    "CERT_REQUIRED": "required",
}
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS_TEXTS = ("ssl_ca_path", "ssl_ca_data", "ssl_ciphers", "ssl_password")
_TLS_PARAMETERS = ("ssl_cert_reqs", "ssl_check_hostname", *_FILES, *_TLS_TEXTS)
_PARAMETERS = ("db", "virtual_host", "username", "password", "client_name", *_TLS_PARAMETERS)
#: What redis-py reads from a URL as well. Only these names are repeated in a message: any other may be the rest of a
#: password with ``&`` in it.
_SET_BY_US = frozenset(
    {
        "socket_timeout",
        "socket_connect_timeout",
        "socket_read_size",
        "socket_keepalive",
        "retry_on_timeout",
        "retry_on_error",
        "max_connections",
        "health_check_interval",
        "timeout",
        "protocol",
        "legacy_responses",
        "encoding",
        "encoding_errors",
        "decode_responses",
        "credential_provider",
        "ssl_min_version",
        "ssl_include_verify_flags",
        "ssl_exclude_verify_flags",
        "ssl_validate_ocsp",
        "ssl_validate_ocsp_stapled",
    }
)


class Scheme(StrEnum):
    """How the server is reached."""

    TCP = "redis"
    TLS = "rediss"
    UNIX = "unix"


@dataclass(frozen=True)
class RedisUrl:
    """A server, a database and credentials. Its text and its ``repr`` show no secret.

    Attributes:
        host: name or address; IPv6 without brackets. Unused for a Unix socket.
        path: of the Unix socket, absolute; empty for the others.
        tls: parameters as redis-py names them, with ``ssl_cert_reqs`` among them, and ``ssl_check_hostname`` as a
            bool; empty without TLS.
    """

    scheme: Scheme
    host: str = "localhost"
    port: int = 6379
    path: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    client_name: str | None = None
    tls: Mapping[str, str | bool] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL. It may name a user alone, whose password then comes by :meth:`with_password`.

        Raises:
            InvalidRedisUrl: saying what is wrong, and how to write it; no part of the URL is in the message.
        """
        scheme, rest = _split_scheme(url)
        _check_characters(rest)
        before_query, _, query = rest.partition("?")
        authority, slash, path = before_query.partition("/")
        credentials, at, host_and_port = authority.rpartition("@")
        parameters = _parameters(query)
        username, password = _credentials(credentials if at else "", parameters)
        path = unquote(path)
        if scheme is Scheme.UNIX:
            host, port, db_text = _no_host(host_and_port), cls.port, None
            if not path:
                raise InvalidRedisUrl("a socket needs a path: write unix:///path/to/the.sock")
        else:
            host, port = _host_and_port(host_and_port, cls)
            db_text, path = path.strip("/") or None, ""
        return cls(
            scheme=scheme,
            host=host or cls.host,
            port=port,
            path=slash + path if path else "",
            db=_db(parameters.get("db", parameters.get("virtual_host", db_text))),
            username=username,
            password=password,
            client_name=parameters.get("client_name"),
            tls=_tls(scheme, parameters),
        )

    def with_password(self, password: str | None) -> Self:
        """The same server with a password that is kept apart from the URL; None where there is none.

        Raises:
            InvalidRedisUrl: there are two passwords, or a user without any.
        """
        if password is not None and self.password is not None:
            raise InvalidRedisUrl("the URL has a password, and one is given beside it: leave one of them out")
        if password is None and self.password is None and self.username is not None:
            raise InvalidRedisUrl(
                "what stands before @ is read as a user, who has no password: write :PASSWORD@ for a password alone, "
                "USER:PASSWORD@ for both, USER:@ for a user without a password"
            )
        return self if password is None else replace(self, password=password)

    @property
    def url(self) -> str:
        """The whole URL as redis-py reads it, password included."""
        values: dict[str, str | int] = {"client_name": self.client_name} if self.client_name else {}
        values |= {name: str(value).lower() if isinstance(value, bool) else value for name, value in self.tls.items()}
        if self.scheme is Scheme.UNIX:
            values["db"] = self.db
        query = urlencode(values, quote_via=quote, safe="")
        return f"{self.scheme}://{self.credentials}{self.place}{'?' if query else ''}{query}"

    @property
    def credentials(self) -> str:
        """``user:password@`` with everything encoded, or nothing where there is neither."""
        if self.username is None and self.password is None:
            return ""
        return f"{quote(self.username or '', safe='')}:{quote(self.password or '', safe='')}@"

    @property
    def place(self) -> str:
        """What follows the credentials: ``host:port/db``, or the path of the socket."""
        if self.scheme is Scheme.UNIX:
            return quote(self.path)
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/{self.db}"

    def __str__(self) -> str:
        user = "" if self.username is None else f"{quote(self.username, safe='')}:"
        return f"{self.scheme}://{f'{user}***@' if self.credentials else ''}{self.place}"


def server_url(name: str, url: str, password: str | None = None) -> RedisUrl:
    """The server of a parameter or setting called ``name``, with its password, if that is kept apart from the URL.

    Raises:
        InvalidRedisUrl: beginning with ``name``.
    """
    try:
        return RedisUrl.parse(url).with_password(password)
    except InvalidRedisUrl as error:
        raise InvalidRedisUrl(f"{name}: {error}") from None


def _split_scheme(url: str) -> tuple[Scheme, str]:
    scheme, separator, rest = url.partition("://")
    if separator and scheme in _OTHER_SCHEMES:
        raise InvalidRedisUrl(_OTHER_SCHEMES[scheme])
    known = {"redis+socket": Scheme.UNIX, **{member.value: member for member in Scheme}}
    if not separator or scheme not in known:
        raise InvalidRedisUrl("must begin with redis://, rediss://, unix:// or redis+socket://")
    return known[scheme], rest


def _check_characters(rest: str) -> None:
    if "#" in rest:
        raise InvalidRedisUrl(_must_be_encoded("#"))
    if _BLANK.search(rest):
        raise InvalidRedisUrl("there is a blank or a line break in it: write %20 for a blank, and nothing at the end")
    if _NOT_ENCODED.search(rest):
        raise InvalidRedisUrl(_must_be_encoded("%"))
    for character in "/?@":
        if character in rest.rpartition("@")[0]:
            raise InvalidRedisUrl(_must_be_encoded(character))


def _must_be_encoded(found: str) -> str:
    others = ", ".join(f"{quote(other, safe='')} for {other}" for other in _ENCODED if other != found)
    return (
        f"user and password must be percent-encoded: write {quote(found, safe='')} for {found} "
        f"(and {others}; in a path or a parameter %40 for @)"
    )


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise InvalidRedisUrl("what follows ? must be name=value, joined by &") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in _SET_BY_US:
            raise InvalidRedisUrl(f"leave out {name}, which the URL cannot set")
        if name not in _PARAMETERS:
            raise InvalidRedisUrl(f"there is an unknown parameter after ?: known are {', '.join(_PARAMETERS)}")
        if name in found:
            raise InvalidRedisUrl(f"{name} is given twice")
        if not value:
            raise InvalidRedisUrl(f"{name} has no value: leave it out")
        found[name] = value
    return found


def _credentials(written: str, parameters: Mapping[str, str]) -> tuple[str | None, str | None]:
    """User and password, by preference from before the host, as in redis-py."""
    username, colon, password = written.partition(":")
    if colon and username and not password and "password" not in parameters:
        return unquote(username), ""
    return unquote(username) or parameters.get("username"), unquote(password) or parameters.get("password")


def _no_host(host_and_port: str) -> str:
    if host_and_port:
        raise InvalidRedisUrl("a socket has no host: write three slashes, unix:///path/to/the.sock")
    return ""


def _host_and_port(written: str, defaults: type[RedisUrl]) -> tuple[str, int]:
    """Host, empty for the default, and port."""
    match = _HOST.fullmatch(unquote(written))
    if match is None or (match["ipv6"] and match["name"]):
        raise InvalidRedisUrl(
            "after the password comes HOST or HOST:PORT, with a number as the port; an @ must stand between them, "
            "and an IPv6 address in brackets"
        )
    port = int(match["port"] or defaults.port)
    if not 0 < port <= _MAX_PORT:
        raise InvalidRedisUrl(f"the port must be from 1 to {_MAX_PORT}")
    return (match["ipv6"] or "").strip("[]") or match["name"], port


def _db(written: str | None) -> int:
    if written is None:
        return 0
    if not (written.isascii() and written.isdigit()):
        raise InvalidRedisUrl("the database must be a number, as in redis://host:6379/0")
    return int(written)


def _tls(scheme: Scheme, parameters: Mapping[str, str]) -> dict[str, str | bool]:
    given: dict[str, str | bool] = {name: parameters[name] for name in _TLS_PARAMETERS if name in parameters}
    if scheme is not Scheme.TLS:
        if given:
            raise InvalidRedisUrl(f"{next(iter(given))} is for TLS: write rediss://")
        return {}
    reqs = _CERT_REQS.get(parameters.get("ssl_cert_reqs", "required"))
    if reqs is None:
        raise InvalidRedisUrl("ssl_cert_reqs must be none, optional or required")
    hostname = parameters.get("ssl_check_hostname", "true").lower()
    if hostname not in {"true", "false"}:
        raise InvalidRedisUrl("ssl_check_hostname must be true or false")
    for name in _FILES:
        if name in parameters and not Path(parameters[name]).is_file():
            raise InvalidRedisUrl(f"{name} names no file that is there")
    # Without a certificate to check there is no name in it to check.
    return given | {"ssl_cert_reqs": reqs, "ssl_check_hostname": hostname == "true" and reqs != "none"}
