"""How server URLs are parsed, and the errors for those that cannot be used."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url

from producer import Client, InvalidRedisUrl
from producer.contract import RedisUrl, Scheme, Sentinels

SECRET = "hunter"  # noqa: S105 - what must not be shown

FORMS = [
    "redis://",
    "redis://host",
    "redis://host:1/3",
    "redis://host/3/",
    "redis://host/3?db=4",
    "redis://:pass@host",
    "redis://user:pass@host:1",
    "redis://user:@host",
    "redis://user:pa:ss%40%2F@host",
    "redis://:a@b-c.example",
    "redis://host?username=user&password=pa%26ss",
    "redis://host?client_name=mine",
    "redis://[::1]:1/2",
    "unix:///run/a.sock",
    "unix:///run/a%20b.sock?db=2",
    "unix://user:pass@/run/a.sock?client_name=mine&db=1",
    "unix://user@/run/a.sock?password=pass",
    "rediss://host?ssl_cert_reqs=required",
    "rediss://host?ssl_cert_reqs=none&ssl_check_hostname=false",
    f"rediss://host?ssl_ca_certs={quote(__file__)}&ssl_certfile={quote(__file__)}&ssl_keyfile={quote(__file__)}",
    "rediss://host?ssl_check_hostname=False&ssl_cert_reqs=optional",
]
DEFAULTS = {"host": "localhost", "port": 6379, "db": 0}
#: redis-py's defaults for TLS connections, made explicit for kombu and Celery.
TLS_DEFAULTS = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}


@pytest.mark.parametrize("url", FORMS)
def test_a_url_means_what_it_means_to_redis_py(url: str) -> None:
    theirs, ours = parse_url(url), parse_url(RedisUrl.parse(url).url)
    is_tls = theirs.get("connection_class") is SSLConnection
    defaults = DEFAULTS | (TLS_DEFAULTS if is_tls else {})
    if theirs.get("connection_class") is UnixDomainSocketConnection:
        defaults = {"db": 0}
    assert ours == defaults | theirs


SENTINELS = Sentinels("mine", (("a", 26379), ("::1", 1), ("localhost", 26379)))


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://user:pa%40ss@a,[::1]:1,:26379/3?master_name=mine",
        "sentinel://user:pa%40ss@a/3;sentinel://user:pa%40ss@[::1]:1/3;sentinel://user:pa%40ss@/3?master_name=mine",
        "sentinel://user:pa%40ss@a:26379;sentinel://[::1]:1;sentinel://localhost/3?master_name=mine",
        "sentinel://a,[::1]:1,localhost?db=3&username=user&password=pa%40ss&master_name=mine",
    ],
)
def test_sentinels_are_taken_in_our_spelling_and_in_celerys(url: str) -> None:
    server = RedisUrl.parse(url)
    plain = RedisUrl(Scheme.SENTINEL, db=3, username="user", sentinels=SENTINELS)
    assert server == plain.with_password("pa@ss")
    assert RedisUrl.parse(server.url) == server
    assert "pa" not in f"{server} {server!r}".replace("password", "").replace("path", "")


def test_the_password_of_sentinels_is_not_that_of_the_servers() -> None:
    server = RedisUrl.parse("sentinel://:a@host?master_name=m&sentinel_username=u&sentinel_password=wa%26che")
    assert server.sentinels == Sentinels("m", (("host", 26379),), "u", "wa&che")
    assert RedisUrl.parse(server.url) == server
    assert "wa" not in f"{server} {server!r}".replace("password", "")


def test_the_spelling_of_kombu_for_a_socket_is_taken_too() -> None:
    assert RedisUrl.parse("redis+socket://u:p@/a.sock?virtual_host=2") == RedisUrl.parse("unix://u:p@/a.sock?db=2")


@pytest.mark.parametrize(("theirs", "ours"), [("CERT_NONE", "none"), ("CERT_REQUIRED", "required")])
def test_the_spelling_of_celery_for_the_verification_is_taken_too(theirs: str, ours: str) -> None:
    assert RedisUrl.parse(f"rediss://h?ssl_cert_reqs={theirs}") == RedisUrl.parse(f"rediss://h?ssl_cert_reqs={ours}")


@settings(deadline=None)
@given(st.text(min_size=1), st.sampled_from(["redis://host", "unix:///a.sock"]))
def test_any_password_may_be_given_beside_the_url(password: str, url: str) -> None:
    try:
        password.encode()
    except UnicodeEncodeError:
        return
    assert parse_url(RedisUrl.parse(url).with_password(password).url)["password"] == password


@settings(deadline=None)
@given(st.text(min_size=1), st.sampled_from(["redis://user:{}@host", "redis://host?password={}", "unix://:{}@/s"]))
def test_any_password_may_be_percent_encoded(password: str, form: str) -> None:
    try:
        url = form.format(quote(password, safe=""))
    except UnicodeEncodeError:
        return
    assert RedisUrl.parse(url).password == password


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"{SECRET}", "must begin with redis://, rediss://, unix://, redis\\+socket:// or sentinel://"),
        (f"amqp://:{SECRET}@host", "must begin with redis://"),
        (f"valkey://:{SECRET}@host", "write redis://"),
        (f"valkeys://:{SECRET}@host", "write rediss://"),
        (f"redis+sentinel://:{SECRET}@host", "write sentinel://"),
        (f"sentinels://:{SECRET}@host", "TLS by way of Sentinels is not supported"),
        (f"sentinel://:{SECRET}@host", "the master needs a name"),
        (f"sentinel://:{SECRET}@host?master_name=m&ssl_cert_reqs=none", "remove ssl_cert_reqs"),
        (f"sentinel://:{SECRET}@host,host:port?master_name=m", "a number as the port"),
        (f"sentinel://:{SECRET}@host;sentinel://:x@other?master_name=m", "the same user and password"),
        (f"sentinel://:{SECRET}@host/1;sentinel://other/2?master_name=m", "the same database"),
        (f"sentinel://host?master_name=m;sentinel://:{SECRET}@other", "must be at the end"),
        (f"sentinel://:{SECRET}@host?master_name=m&sentinel_username=u", "requires sentinel_password"),
        (f"redis://:{SECRET}@host?master_name=m", "master_name requires Sentinels"),
        (f"redis://:{SECRET}#x@host", "%23 for #"),
        (f"redis://:x#{SECRET}@host", "%23 for #"),
        (f"redis://:{SECRET}/x@host", "%2F for /"),
        (f"redis://:x/{SECRET}@host", "%2F for /"),
        (f"redis://:{SECRET}?x@host", "%3F for \\?"),
        (f"redis://:x@{SECRET}@host", "%40 for @"),
        (f"redis://:x%{SECRET}@host", "%25 for %"),
        (f"redis://:x {SECRET}@host", "%20 for a space"),
        (f"redis://:{SECRET}@host\n", "line break"),
        (f"redis://:{SECRET}", "an @ must separate"),
        (f"redis://:x@[{SECRET}", "brackets"),
        (f"redis://:{SECRET}@host:port", "a number as the port"),
        (f"redis://:{SECRET}@host:0", "between 1 and 65535"),
        (f"redis://{SECRET}@host", "write :PASSWORD@ for a password alone"),
        (f"redis://host/{SECRET}", "the database must be a number"),
        (f"redis://host?db={SECRET}", "the database must be a number"),
        (f"redis://host?password=x&{SECRET}=1", "unknown parameter"),
        (f"redis://host?password=x&{SECRET}", "name=value"),
        (f"redis://host?password={SECRET}&password=x", "password is given twice"),
        ("redis://host?password=", "password has no value"),
        (f"redis://:{SECRET}@host?socket_timeout=1", "remove socket_timeout"),
        (f"redis://:{SECRET}@host?protocol=3", "remove protocol"),
        (f"redis://:{SECRET}@host?ssl_cert_reqs=none", "ssl_cert_reqs requires TLS: write rediss://"),
        (f"rediss://host?ssl_cert_reqs={SECRET}", "must be none, optional or required"),
        (f"rediss://host?ssl_check_hostname={SECRET}", "must be true or false"),
        (f"rediss://host?ssl_ca_certs=/{SECRET}", "ssl_ca_certs names a file that does not exist"),
        (f"unix://{SECRET}/a.sock", "three slashes"),
        (f"unix://:{SECRET}@", "write unix:///path"),
    ],
)
def test_a_client_says_what_is_wrong_with_a_url_and_repeats_no_part_of_it(url: str, said: str) -> None:
    for arguments, name in (((url,), "broker_url: "), (("redis://host", url), "result_backend_url: ")):
        with pytest.raises(InvalidRedisUrl, match=said) as caught:
            Client(*arguments)
        assert str(caught.value).startswith(name)
        assert SECRET not in str(caught.getrepr(style="native"))
        assert caught.value.__cause__ is None


def test_a_second_password_is_refused() -> None:
    with pytest.raises(InvalidRedisUrl, match="remove one of them"):
        RedisUrl.parse("redis://:a@host").with_password("b")


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([SECRET, *"@/?#:&=%[]. ;\n"]), min_size=1),
    st.sampled_from(["redis://:{}@host:6379/0", "unix://user:{}@/a.sock", "redis://host?password={}", "redis://:{}"]),
)
def test_neither_an_error_nor_the_text_of_a_url_has_a_piece_of_the_password(pieces: list[str], form: str) -> None:
    try:
        url = RedisUrl.parse(form.format("".join(pieces)))
        shown = f"{url} {url!r}"
    except InvalidRedisUrl as error:
        shown = str(error)
    # A single @ in a password cannot be distinguished from the one before the host.
    assert SECRET not in shown or form.count("@") + "".join(pieces).count("@") == 1
