"""Where settings come from, which values they accept, and how errors name them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config import Settings, SettingsError, load_settings
from config.settings import InferencePrecision


def test_the_environment_goes_before_dotenv_and_dotenv_before_toml_and_toml_before_the_default(
    working_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held_requests() -> int:
        return load_settings().limits.held_requests

    assert held_requests() == Settings.model_construct().limits.held_requests
    (working_dir / "celeriac.toml").write_text("[limits]\nheld_requests = 11\n")
    assert held_requests() == 11
    (working_dir / ".env").write_text("CELERIAC_LIMITS_HELD_REQUESTS=12\n")
    assert held_requests() == 12
    monkeypatch.setenv("CELERIAC_LIMITS_HELD_REQUESTS", "13")
    assert held_requests() == 13


def test_the_fields_of_a_group_may_come_from_different_places(
    working_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (working_dir / "celeriac.toml").write_text('[cores]\nper_process = 3\nlease_dir = "/toml"\n')
    (working_dir / ".env").write_text("CELERIAC_CORES_ALLOW_SHARING=true\n")
    monkeypatch.setenv("CELERIAC_CORES_LEASE_DIR", "/environment")
    cores = load_settings().cores
    assert (cores.per_process, cores.lease_dir, cores.allow_sharing) == (3, Path("/environment"), True)


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("CELERIAC_BATCH_MAX_TOKENS", "256", "batch.max_tokens", 256),
        ("CELERIAC_BATCH_LENGTH_MULTIPLE", "4", "batch.length_multiple", 4),
        ("CELERIAC_ENGINE_PRECISION", "bf16", "engine.precision", InferencePrecision.BF16),
        ("CELERIAC_LIMITS_HELD_WORK_S", "2.5", "limits.held_work_s", 2.5),
        ("CELERIAC_PROCESSES_MAX", "3", "processes.max", 3),
        ("CELERIAC_PROCESSES_MAX", "", "processes.max", None),
        ("CELERIAC_TIME_RESULT_EXPIRES_S", "60", "time.result_expires_s", 60),
        ("CELERIAC_SENTRY_TRACES_SAMPLE_RATE", "0.5", "sentry.traces_sample_rate", 0.5),
        ("CELERIAC_SHOW_REQUEST_TEXT", "true", "show_request_text", True),
        ("CELERIAC_MODELS", "sentiment", "models", ["sentiment"]),
        ("CELERIAC_MODELS", " a, /b/c ,,d ", "models", ["a", "/b/c", "d"]),
        ("CELERIAC_MODEL_DIR", "~/m", "model_dir", Path.home() / "m"),
        ("celeriac_log_format", "json", "log.format", "json"),
    ],
)
def test_a_variable_sets_its_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, path: str, value: Any
) -> None:
    monkeypatch.setenv(variable, text)
    setting: Any = load_settings()
    for name in path.split("."):
        setting = getattr(setting, name)
    assert setting == value


def test_an_empty_variable_leaves_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_BROKER_URL", "")
    assert load_settings().broker_url.get_secret_value() == "redis://localhost:6379/0"


def test_models_are_a_list_in_toml(working_dir: Path) -> None:
    (working_dir / "celeriac.toml").write_text('models = ["a", "b"]\n')
    assert load_settings().models == ["a", "b"]


def test_the_toml_file_may_have_another_name(working_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (working_dir / "other.toml").write_text("[limits]\nheld_requests = 11\n")
    monkeypatch.setenv("CELERIAC_CONFIG_FILE", "other.toml")
    assert load_settings().limits.held_requests == 11


@pytest.mark.parametrize(
    ("variable", "text", "reason"),
    [
        ("CELERIAC_CORES_PER_PROCESS", "0", "greater than or equal to 1"),
        ("CELERIAC_CORES_PER_PROCESS", "two", "valid integer"),
        ("CELERIAC_CORES_PER_PROCES", "2", "there is no such setting; did you mean CELERIAC_CORES_PER_PROCESS?"),
        ("CELERIAC_CORES_WHATEVER_IT_IS", "2", "there is no such setting"),
        ("CELERIAC_MODELS_DIR", "/models", "there is no such setting; did you mean CELERIAC_MODEL_DIR?"),
        ("CELERIAC_CORES", "x", "its settings are CELERIAC_CORES_PER_PROCESS, CELERIAC_CORES_LEASE_DIR, "),
        ("CELERIAC_CORES", "5", "its settings are CELERIAC_CORES_PER_PROCESS, CELERIAC_CORES_LEASE_DIR, "),
        ("CELERIAC_CORES", '{"per_process": 0}', "greater than or equal to 1"),
        ("CELERIAC_BATCH_LENGTH_MULTIPLE", "513", "less than or equal to 512"),
        ("CELERIAC_LIMITS_HELD_WORK_S", "0", "greater than 0"),
        ("CELERIAC_SENTRY_TRACES_SAMPLE_RATE", "1.5", "less than or equal to 1"),
        ("CELERIAC_ENGINE_PRECISION", "f16", "'f32' or 'bf16'"),
        ("CELERIAC_LOG_FORMAT", "xml", "'text' or 'json'"),
        ("CELERIAC_MODELS", ",", "at least 1 item"),
        ("CELERIAC_BROKER_URL", "amqp://localhost", "redis://, rediss://, unix://"),
        ("CELERIAC_RESULT_BACKEND_URL", "localhost:6379", "redis://, rediss://, unix://"),
        ("CELERIAC_CONFIG_FILE", "/no/such.toml", "/no/such.toml is not a file"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, reason: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(variable)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("celeriac_models_dir=/models", "CELERIAC_MODELS_DIR: there is no such setting; did you mean "),
        ("CELERIAC_SENTRY=https://Geheimnis@host", "CELERIAC_SENTRY: is a group of settings"),
    ],
)
def test_a_wrong_variable_in_dotenv_is_named_without_its_value(working_dir: Path, line: str, message: str) -> None:
    (working_dir / ".env").write_text(f"{line}\n")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(message)
    assert "Geheimnis" not in repr(caught.getrepr(style="native"))


def test_a_wrong_variable_is_named_although_the_setting_that_it_resembles_is_set_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CELERIAC_MODELS", "sentiment")
    monkeypatch.setenv("CELERIAC_MODELS_DIR", "/models")
    with pytest.raises(SettingsError, match=r"^CELERIAC_MODELS_DIR: "):
        load_settings()


def test_every_wrong_variable_is_named_at_once(working_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (working_dir / ".env").write_text("CELERIAC_LOG=x\n")
    monkeypatch.setenv("CELERIAC_MODELS_DIR", "/models")
    with pytest.raises(SettingsError, match=r"^CELERIAC_MODELS_DIR: .*; CELERIAC_LOG: "):
        load_settings()


def test_a_wrong_name_in_toml_is_named_as_the_variable_that_it_stands_for(working_dir: Path) -> None:
    (working_dir / "celeriac.toml").write_text("[batch]\nmax_token = 5\n")
    with pytest.raises(SettingsError, match=r"^CELERIAC_BATCH_MAX_TOKEN: .* did you mean CELERIAC_BATCH_MAX_TOKENS\?"):
        load_settings()


def test_a_group_may_be_a_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_CORES", '{"per_process": 2}')
    assert load_settings().cores.per_process == 2


def test_the_leases_lie_in_one_place_whatever_the_temporary_directory_of_a_worker_is(working_dir: Path) -> None:
    code = "from config import load_settings; print(load_settings().cores.lease_dir)"
    environment = {**os.environ, "TMPDIR": str(working_dir)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "/tmp/celeriac-cores\n"  # noqa: S108 - what is printed


def test_every_wrong_value_is_named_wherever_it_came_from(working_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (working_dir / "celeriac.toml").write_text("[batch]\nmax_tokens = 0\n")
    monkeypatch.setenv("CELERIAC_CORES_PER_PROCESS", "0")
    with pytest.raises(SettingsError, match=r"CELERIAC_CORES_PER_PROCESS.*; CELERIAC_BATCH_MAX_TOKENS"):
        load_settings()


def test_a_wrong_url_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_BROKER_URL", "amqp://user:Geheimnis@localhost")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "Geheimnis" not in repr(caught.getrepr(style="native"))


def test_a_dotenv_that_is_not_text_is_named(working_dir: Path) -> None:
    (working_dir / ".env").write_bytes(b"CELERIAC_LOG_FORMAT=\xff\n")
    with pytest.raises(SettingsError, match=r"^\.env: "):
        load_settings()


def test_a_file_that_is_not_toml_is_named(working_dir: Path) -> None:
    (working_dir / "celeriac.toml").write_text("broker_url = [")
    with pytest.raises(SettingsError, match=r"^celeriac\.toml: "):
        load_settings()


@pytest.mark.parametrize(("soft", "hard"), [("45", "45"), ("50", "45")])
def test_the_time_limits_must_be_in_their_order(monkeypatch: pytest.MonkeyPatch, soft: str, hard: str) -> None:
    monkeypatch.setenv("CELERIAC_TIME_SOFT_LIMIT_S", soft)
    monkeypatch.setenv("CELERIAC_TIME_HARD_LIMIT_S", hard)
    with pytest.raises(SettingsError, match="soft_limit_s must be below hard_limit_s") as caught:
        load_settings()
    assert f"{soft} and {hard} s" in str(caught.value)


def test_fewer_processes_at_most_than_at_least_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_PROCESSES_MIN", "3")
    monkeypatch.setenv("CELERIAC_PROCESSES_MAX", "2")
    with pytest.raises(SettingsError, match=r"min must not be above max; they are 3 and 2 \(CELERIAC_PROCESSES_MIN"):
        load_settings()


def test_prepared_models_are_kept_in_the_home_directory_by_default() -> None:
    assert load_settings().model_dir == Path("~/.cache/celeriac/models").expanduser()


def test_settings_cannot_be_changed_once_they_are_read() -> None:
    settings: Any = load_settings()
    for model, name in ((settings, "models"), (settings.cores, "per_process")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(model, name, 5)
