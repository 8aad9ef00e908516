"""Refused credentials are reported at once; the call does not retry until its deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from examples.local_stack import LocalServer
from producer import (
    BrokerUnavailable,
    CeleriacError,
    Client,
    ResultBackendUnavailable,
    TextClassificationRequest,
    TextInput,
)

from .helpers import ends_within

REQUEST = TextClassificationRequest(inputs=TextInput(text="a"))
#: Far more than `ends_within` allows.
DEADLINE_S = 600

CALLS: list[tuple[Callable[[Client], object], type[CeleriacError]]] = [
    (lambda client: client.submit(REQUEST, timeout_s=DEADLINE_S), BrokerUnavailable),
    (lambda client: client.wait("id-1", timeout_s=DEADLINE_S), ResultBackendUnavailable),
    (lambda client: client.classify("a", timeout_s=DEADLINE_S), BrokerUnavailable),
]
calls = pytest.mark.parametrize(("call", "kind"), CALLS, ids=["submit", "wait", "classify"])


@pytest.fixture
def guest(own_redis: redis.Redis) -> Iterator[str]:
    """A user that is permitted neither to enqueue nor to subscribe."""
    own_redis.execute_command("ACL", "SETUSER", "guest", "on", ">secret", "~*", "resetchannels", "+@all", "-lpush")
    yield "guest"
    own_redis.acl_deluser("guest")


@pytest.fixture
def locked_server(own_server: LocalServer, own_redis: redis.Redis) -> Iterator[LocalServer]:
    """A server that requires a password."""
    own_redis.config_set("requirepass", "secret")
    yield own_server
    own_redis.config_set("requirepass", "")


def refused(url: str, call: Callable[[Client], object], kind: type[CeleriacError]) -> str:
    with Client(url) as client, ends_within(5), pytest.raises(kind, match="refused the credentials: ") as caught:
        call(client)
    return str(caught.value)


@calls
def test_a_wrong_password_is_an_error_at_once_which_does_not_repeat_it(
    own_server: LocalServer, guest: str, call: Callable[[Client], object], kind: type[CeleriacError]
) -> None:
    assert "mistaken" not in refused(own_server.url.replace("//", f"//{guest}:mistaken@"), call, kind)


@calls
def test_a_missing_permission_is_an_error_at_once(
    own_server: LocalServer, guest: str, call: Callable[[Client], object], kind: type[CeleriacError]
) -> None:
    assert "permission" in refused(own_server.url.replace("//", f"//{guest}:secret@"), call, kind)


@calls
def test_a_missing_password_is_an_error_at_once(
    locked_server: LocalServer, call: Callable[[Client], object], kind: type[CeleriacError]
) -> None:
    refused(locked_server.url, call, kind)


@calls
def test_a_password_for_a_server_that_has_none_is_an_error_at_once(
    own_server: LocalServer, call: Callable[[Client], object], kind: type[CeleriacError]
) -> None:
    refused(own_server.url.replace("//", "//:needless@"), call, kind)
