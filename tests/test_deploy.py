"""The files for containers say what is so; no container engine is needed to see that."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from config.report import example_env
from models.store import BUNDLED_DIRECTORY

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SETTINGS = set(re.findall(r"^#?(CELERIAC_[A-Z_]+)=", example_env(), flags=re.MULTILINE))


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(COMPOSE)["services"]
    return loaded


def default_of(text: str) -> str:
    """What compose puts in where the variable of ``${NAME:-default}`` is not set."""
    (found,) = re.findall(r"^\$\{[A-Z_]+:-(.*)\}$", text)
    return str(found)


def workers(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if "cpuset" in service}


def test_the_compose_file_follows_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_in_the_compose_file_exists(services: dict[str, Any]) -> None:
    named = {name for service in services.values() for name in service.get("environment", {})}

    assert {name for name in named if name.startswith("CELERIAC_")} <= SETTINGS


def test_there_is_a_worker_for_each_bundled_model(services: dict[str, Any]) -> None:
    found = workers(services)

    assert {service["environment"]["CELERIAC_MODELS"] for service in found.values()} == {
        directory.name for directory in BUNDLED_DIRECTORY.iterdir() if directory.is_dir()
    }


def test_the_defaults_need_no_core_of_a_certain_number_and_no_more_than_one(services: dict[str, Any]) -> None:
    for service in workers(services).values():
        environment = service["environment"]
        assert default_of(service["cpuset"]) == ""
        assert default_of(environment["CELERIAC_PROCESSES_MAX"]) == "1"
        assert environment["CELERIAC_CORES_ALLOW_SHARING"] == "true"


def test_the_workers_lease_their_cores_in_one_volume_that_any_user_may_write(services: dict[str, Any]) -> None:
    for service in workers(services).values():
        directory = service["environment"]["CELERIAC_CORES_LEASE_DIR"]
        assert f"core-leases:{directory}" in service["volumes"]
        # A new volume takes owner and mode of the image's directory.
        assert f"install -d -m 1777 {directory}\n" in DOCKERFILE


def test_everything_but_redis_runs_without_rights(services: dict[str, Any]) -> None:
    ours = {name: service for name, service in services.items() if name != "redis"}

    assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in ours.values())
    assert re.search(r"^USER \d+$", DOCKERFILE, flags=re.MULTILINE)


def test_nothing_is_published_beyond_this_machine(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_passwords_must_be_set(services: dict[str, Any]) -> None:
    assert services["sentiment"]["environment"]["CELERIAC_BROKER_PASSWORD"].startswith("${REDIS_PASSWORD:?")
    assert services["flower"]["environment"]["FLOWER_BASIC_AUTH"].startswith("${FLOWER_BASIC_AUTH:?")
    assert "noeviction" in services["redis"]["command"]


def test_no_password_is_pasted_into_a_url() -> None:
    assert not re.findall(r"://[^\s\"']*\$\{?\w+[^\s\"']*@", COMPOSE.read_text(encoding="utf-8"))


def test_every_command_exists(services: dict[str, Any]) -> None:
    commands = [
        service["command"]
        for service in services.values()
        if service.get("image") == "celeriac" and "command" in service
    ]
    commands.append(re.findall(r'"([^"]+)"', DOCKERFILE.rpartition("\nCMD ")[2]))
    scripts = Path(sys.executable).parent

    for program, *arguments in commands:
        assert shutil.which(program, path=str(scripts)), program
        known = subprocess.run(
            [scripts / program, *arguments[:3], "--help"], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert known.returncode == 0, known.stderr


def test_the_image_installs_extras_that_exist_and_copies_what_it_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = re.search(r" \. '\./deploy/celeriac-worker\[([a-z,]+)\]'$", DOCKERFILE, flags=re.MULTILINE)
    assert extras
    for extra in ("worker", *extras[1].split(",")):
        assert extra in project["optional-dependencies"]
        assert not any("torch" in wanted for wanted in project["optional-dependencies"][extra])
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split())
        ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        assert all(f"!{name}" in ignored for name in source.split())
