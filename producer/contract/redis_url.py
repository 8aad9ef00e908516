"""Parses the URL of a Redis or Valkey server.

It accepts the forms of redis-py (``redis.connection.parse_url``), kombu's ``redis+socket://``, and ``sentinel://``
(:mod:`producer.contract.sentinel_url`). redis-py, kombu and Celery parse these differently, and their errors can
contain parts of a password. So a URL is parsed once, here, and passed on in a form that all of them read alike. No
error message repeats any part of a URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlencode

from producer.contract.sentinel_url import SENTINEL_PARAMETERS, SENTINEL_PORT, Sentinels, join_spellings
from producer.errors import InvalidRedisUrl

__all__ = ["RedisUrl", "Scheme", "server_url"]

_MAX_PORT = 65535
#: Characters that end a user name or a password, or start an escape, wherever they are.
_RESERVED = "#%/?@"
_INVALID_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_WHITESPACE = re.compile(r"[\x00-\x20\x7f]")
_HOST_AND_PORT = re.compile(r"(?P<ipv6>\[[0-9A-Fa-f:.]+\])?(?P<name>[\w.-]*)(?::(?P<port>[0-9]+))?", re.ASCII)
#: Schemes that are not supported, and what to write instead.
_UNSUPPORTED_SCHEMES = {
    "valkey": "write redis://, which works for Valkey too",
    "valkeys": "write rediss://, which works for Valkey too",
    "redis+ssl": "write rediss://",
    "redis+sentinel": "write sentinel://",
    "sentinels": "TLS by way of Sentinels is not supported: write sentinel:// for servers without TLS",
}
_CERT_REQS = {
    "none": "none",
    "optional": "optional",
    "required": "required",
    "CERT_NONE": "none",
    "CERT_OPTIONAL": "optional",
    "CERT_REQUIRED": "required",
}
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS_TEXTS = ("ssl_ca_path", "ssl_ca_data", "ssl_ciphers", "ssl_password")
_TLS_PARAMETERS = ("ssl_cert_reqs", "ssl_check_hostname", *_TLS_FILES, *_TLS_TEXTS)
_PARAMETERS = ("db", "virtual_host", "username", "password", "client_name", *_TLS_PARAMETERS, *SENTINEL_PARAMETERS)
#: Parameters that redis-py would read from a URL and that are not for the URL to set. Messages repeat only these names:
#: any other could be the rest of a password that contains ``&``.
_RESERVED_PARAMETERS = frozenset(
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
    """The transport to the server."""

    TCP = "redis"
    TLS = "rediss"
    UNIX = "unix"
    SENTINEL = "sentinel"


@dataclass(frozen=True)
class RedisUrl:
    """A server, a database and credentials. ``str`` and ``repr`` show no secret.

    Attributes:
        scheme: the transport.
        host: name or address; IPv6 without brackets. Unused for a Unix socket and for Sentinels.
        port: unused for a Unix socket and for Sentinels.
        path: absolute path of the Unix socket; empty for the other schemes.
        db: number of the database.
        username: None for the server's default user.
        password: None if there is none.
        client_name: the name that connections give themselves (``CLIENT SETNAME``).
        tls: parameters as redis-py names them, always with ``ssl_cert_reqs`` and ``ssl_check_hostname`` (a bool); empty
            without TLS.
        sentinels: who knows the server; None for the other schemes.
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
    sentinels: Sentinels | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse a URL. A user without a password is accepted: :meth:`with_password` can add the password.

        Raises:
            InvalidRedisUrl: the message says what is wrong and how to write it.
        """
        scheme, rest = _split_scheme(url)
        if scheme is Scheme.SENTINEL:
            rest = join_spellings(rest)
        _check_characters(rest)
        before_query, _, query = rest.partition("?")
        authority, slash, path = before_query.partition("/")
        credentials, at, host_and_port = authority.rpartition("@")
        parameters = _parameters(query)
        username, password = _credentials(credentials if at else "", parameters)
        path, db_text, host, port = unquote(path), None, "", cls.port
        if scheme is Scheme.UNIX:
            _check_no_host(host_and_port)
            if not path:
                raise InvalidRedisUrl("a Unix socket needs a path: write unix:///path/to/the.sock")
        else:
            db_text, path = path.strip("/") or None, ""
        if scheme in {Scheme.TCP, Scheme.TLS}:
            host, port = _host_and_port(host_and_port, cls.port)
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
            sentinels=_sentinels(scheme, host_and_port, parameters),
        )

    def with_password(self, password: str | None) -> Self:
        """The same server, with a password that is configured separately from the URL.

        Args:
            password: None if there is none.

        Raises:
            InvalidRedisUrl: there are two passwords, or a user without a password.
        """
        if password is not None and self.password is not None:
            raise InvalidRedisUrl("there is a password in the URL and another one beside it: remove one of them")
        if password is None and self.password is None and self.username is not None:
            raise InvalidRedisUrl(
                "the text before @ is a user name, and there is no password: write :PASSWORD@ for a password alone, "
                "USER:PASSWORD@ for both, USER:@ for a user without a password"
            )
        return self if password is None else replace(self, password=password)

    @property
    def url(self) -> str:
        """The URL with all passwords, as redis-py reads it; that of Sentinels, which it does not read, as we do."""
        values: dict[str, str | int] = {"client_name": self.client_name} if self.client_name else {}
        values |= {name: str(value).lower() if isinstance(value, bool) else value for name, value in self.tls.items()}
        if self.scheme is Scheme.UNIX:
            values["db"] = self.db
        if self.sentinels is not None:
            values |= self.sentinels.parameters
        query = urlencode(values, quote_via=quote, safe="")
        return f"{self.scheme}://{self.credentials}{self.address}{'?' if query else ''}{query}"

    @property
    def credentials(self) -> str:
        """``user:password@``, percent-encoded; empty if there is neither."""
        if self.username is None and self.password is None:
            return ""
        return f"{quote(self.username or '', safe='')}:{quote(self.password or '', safe='')}@"

    @property
    def address(self) -> str:
        """The part after the credentials: ``host:port/db``, the path of the Unix socket, or the Sentinels' hosts."""
        if self.scheme is Scheme.UNIX:
            return quote(self.path)
        if self.sentinels is not None:
            return f"{self.sentinels.hosts}/{self.db}"
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/{self.db}"

    def __str__(self) -> str:
        user = "" if self.username is None else f"{quote(self.username, safe='')}:"
        master = f"?master_name={quote(self.sentinels.master_name, safe='')}" if self.sentinels is not None else ""
        return f"{self.scheme}://{f'{user}***@' if self.credentials else ''}{self.address}{master}"


def server_url(name: str, url: str, password: str | None = None) -> RedisUrl:
    """Parse the URL of a parameter or setting.

    Args:
        name: of the parameter or setting.
        url: its value.
        password: the server's password, if it is configured separately from the URL.

    Raises:
        InvalidRedisUrl: the message begins with ``name``.
    """
    try:
        return RedisUrl.parse(url).with_password(password)
    except InvalidRedisUrl as error:
        raise InvalidRedisUrl(f"{name}: {error}") from None


def _split_scheme(url: str) -> tuple[Scheme, str]:
    scheme, separator, rest = url.partition("://")
    if separator and scheme in _UNSUPPORTED_SCHEMES:
        raise InvalidRedisUrl(_UNSUPPORTED_SCHEMES[scheme])
    known = {"redis+socket": Scheme.UNIX, **{member.value: member for member in Scheme}}
    if not separator or scheme not in known:
        raise InvalidRedisUrl("must begin with redis://, rediss://, unix://, redis+socket:// or sentinel://")
    return known[scheme], rest


def _check_characters(rest: str) -> None:
    if "#" in rest:
        raise InvalidRedisUrl(_encoding_hint("#"))
    if _WHITESPACE.search(rest):
        raise InvalidRedisUrl("contains a space or a line break: write %20 for a space, and remove any at the end")
    if _INVALID_ESCAPE.search(rest):
        raise InvalidRedisUrl(_encoding_hint("%"))
    for character in "/?@":
        if character in rest.rpartition("@")[0]:
            raise InvalidRedisUrl(_encoding_hint(character))


def _encoding_hint(found: str) -> str:
    others = ", ".join(f"{quote(other, safe='')} for {other}" for other in _RESERVED if other != found)
    return (
        f"the user name and the password must be percent-encoded: write {quote(found, safe='')} for {found} "
        f"(and {others}; in a path or a parameter, write %40 for @)"
    )


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise InvalidRedisUrl("the parameters after ? must be name=value, joined by &") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in _RESERVED_PARAMETERS:
            raise InvalidRedisUrl(f"remove {name}, which cannot be set in the URL")
        if name not in _PARAMETERS:
            raise InvalidRedisUrl(f"unknown parameter after ?: the parameters are {', '.join(_PARAMETERS)}")
        if name in found:
            raise InvalidRedisUrl(f"{name} is given twice")
        if not value:
            raise InvalidRedisUrl(f"{name} has no value: remove it or give it one")
        found[name] = value
    return found


def _credentials(text: str, parameters: Mapping[str, str]) -> tuple[str | None, str | None]:
    """User and password; as in redis-py, those before the host take precedence over the parameters."""
    username, colon, password = text.partition(":")
    if colon and username and not password and "password" not in parameters:
        return unquote(username), ""
    return unquote(username) or parameters.get("username"), unquote(password) or parameters.get("password")


def _check_no_host(host_and_port: str) -> None:
    if host_and_port:
        raise InvalidRedisUrl("a Unix socket has no host: write three slashes, as in unix:///path/to/the.sock")


def _sentinels(scheme: Scheme, hosts: str, parameters: Mapping[str, str]) -> Sentinels | None:
    if scheme is not Scheme.SENTINEL:
        given = [name for name in SENTINEL_PARAMETERS if name in parameters]
        if given:
            raise InvalidRedisUrl(f"{given[0]} requires Sentinels: write sentinel://")
        return None
    found = (_host_and_port(host, SENTINEL_PORT) for host in hosts.split(","))
    return Sentinels.from_parameters(((host or RedisUrl.host, port) for host, port in found), parameters)


def _host_and_port(text: str, default_port: int) -> tuple[str, int]:
    """Host, empty for the default, and port."""
    match = _HOST_AND_PORT.fullmatch(unquote(text))
    if match is None or (match["ipv6"] and match["name"]):
        raise InvalidRedisUrl(
            "the part after the password must be HOST or HOST:PORT, with a number as the port; an @ must separate it "
            "from the password, and an IPv6 address must be in brackets"
        )
    port = int(match["port"] or default_port)
    if not 0 < port <= _MAX_PORT:
        raise InvalidRedisUrl(f"the port must be between 1 and {_MAX_PORT}")
    return (match["ipv6"] or "").strip("[]") or match["name"], port


def _db(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise InvalidRedisUrl("the database must be a number, as in redis://host:6379/0")
    return int(text)


def _tls(scheme: Scheme, parameters: Mapping[str, str]) -> dict[str, str | bool]:
    given: dict[str, str | bool] = {name: parameters[name] for name in _TLS_PARAMETERS if name in parameters}
    if scheme is not Scheme.TLS:
        if given and scheme is Scheme.SENTINEL:
            raise InvalidRedisUrl(f"remove {next(iter(given))}: TLS by way of Sentinels is not supported")
        if given:
            raise InvalidRedisUrl(f"{next(iter(given))} requires TLS: write rediss://")
        return {}
    reqs = _CERT_REQS.get(parameters.get("ssl_cert_reqs", "required"))
    if reqs is None:
        raise InvalidRedisUrl("ssl_cert_reqs must be none, optional or required")
    hostname = parameters.get("ssl_check_hostname", "true").lower()
    if hostname not in {"true", "false"}:
        raise InvalidRedisUrl("ssl_check_hostname must be true or false")
    for name in _TLS_FILES:
        if name in parameters and not Path(parameters[name]).is_file():
            raise InvalidRedisUrl(f"{name} names a file that does not exist")
    # Without a verified certificate there is no name to check.
    return given | {"ssl_cert_reqs": reqs, "ssl_check_hostname": hostname == "true" and reqs != "none"}
