"""``python -m config``: every setting with its value and its source, without secrets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from config import SettingsError, load_settings
from config.__main__ import main
from config.report import describe, example_env, unknown_variables

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "Geheimnis"  # noqa: S105 - what must not be shown


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    """Value and origin of every setting, by variable."""
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = [re.fullmatch(r"(\w+) +(.*?) *\((environment|\.env|toml|default)\)", line) for line in lines]
    return {match[1]: (match[2], match[3]) for match in found if match}


def test_every_setting_is_shown_with_its_value_and_its_source(
    working_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (working_dir / "celeriac.toml").write_text(
        "show_request_text = true\n[batch]\nmax_tokens = 1024\n[cores]\nper_process=2"
    )
    (working_dir / ".env").write_text("CELERIAC_BATCH_LENGTH_MULTIPLE=8\nCELERIAC_CORES_PER_PROCESS=3\n")
    monkeypatch.setenv("CELERIAC_MODELS", "a,b")
    monkeypatch.setenv("CELERIAC_CORES_PER_PROCESS", "4")
    settings = shown(capsys)
    assert settings["CELERIAC_MODELS"] == ("a,b", "environment")
    assert settings["CELERIAC_CORES_PER_PROCESS"] == ("4", "environment")
    assert settings["CELERIAC_BATCH_LENGTH_MULTIPLE"] == ("8", ".env")
    assert settings["CELERIAC_BATCH_MAX_TOKENS"] == ("1024", "toml")
    assert settings["CELERIAC_SHOW_REQUEST_TEXT"] == ("true", "toml")
    assert settings["CELERIAC_LOG_FORMAT"] == ("text", "default")
    assert settings["CELERIAC_RESULT_BACKEND_URL"] == ("", "default")
    assert set(settings) == set(re.findall(r"^#(CELERIAC_\w+)=", example_env(), re.MULTILINE))


@pytest.mark.parametrize(
    ("variable", "url", "masked"),
    [
        ("CELERIAC_BROKER_URL", f"redis://user:{PASSWORD}@host:1/0", "redis://user:***@host:1/0"),
        ("CELERIAC_BROKER_URL", f"redis://:{PASSWORD}@host", "redis://***@host"),
        ("CELERIAC_BROKER_URL", f"redis://user:{PASSWORD}:{PASSWORD}@host", "redis://user:***@host"),
        ("CELERIAC_BROKER_URL", f"redis://host/0?password={PASSWORD}&db=1", "redis://host/0?password=***&db=1"),
        ("CELERIAC_BROKER_URL", f"unix:///tmp/s?db=1&password={PASSWORD}", "unix:///tmp/s?db=1&password=***"),
        ("CELERIAC_RESULT_BACKEND_URL", f"rediss://user:{PASSWORD}@host", "rediss://user:***@host"),
        ("CELERIAC_SENTRY_DSN", f"https://{PASSWORD}@sentry.example/1", "https://***@sentry.example/1"),
        ("CELERIAC_BROKER_URL", "redis://host:6379/0", "redis://host:6379/0"),
        ("CELERIAC_BROKER_URL", "rediss://[::1]:6379/0?db=1", "rediss://[::1]:6379/0?db=1"),
        ("CELERIAC_BROKER_URL", "unix:///run/redis/redis.sock?db=1", "unix:///run/redis/redis.sock?db=1"),
        ("CELERIAC_BROKER_URL", f"rediss://host?ssl_password={PASSWORD}", "rediss://host?ssl_password=***"),
        ("CELERIAC_SENTRY_DSN", PASSWORD, "***"),
    ],
)
def test_passwords_are_masked_and_the_rest_of_the_url_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, url: str, masked: str
) -> None:
    monkeypatch.setenv(variable, url)
    assert shown(capsys)[variable] == (masked, "environment")


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([PASSWORD, *"@/?#:&=%[]. ;"]), min_size=1),
    st.sampled_from(
        ["redis://:{}@host:6379/0", "redis://user:{}@host", "redis://host/0?password={}&db=1", "redis://:{}"]
    ),
)
def test_no_piece_of_a_password_is_shown_whatever_is_in_it(pieces: list[str], url: str) -> None:
    # Then the rest is a host: a single @ in a password cannot be distinguished from the one before the host.
    assume(url != "redis://:{}" or pieces.count("@") != 1)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CELERIAC_BROKER_URL", url.format("".join(pieces)))
        try:
            printed = [line.value for line in describe(load_settings())]
        except SettingsError as error:
            printed = [repr(error)]
    assert not [text for text in printed if PASSWORD in text]


def test_a_password_of_its_own_is_masked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CELERIAC_BROKER_PASSWORD", PASSWORD)
    assert shown(capsys)["CELERIAC_BROKER_PASSWORD"] == ("***", "environment")


def test_the_command_prints_the_settings_and_warns_of_variables_that_nothing_reads(working_dir: Path) -> None:
    environment = {**os.environ, "CELERIAC_BROKER_URL": f"redis://user:{PASSWORD}@host", "CELERIAC_MODEL": "sentiment"}
    done = subprocess.run(
        [sys.executable, "-m", "config"], capture_output=True, text=True, check=True, env=environment, cwd=working_dir
    )
    assert "redis://user:***@host" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr
    assert done.stderr == "warning: CELERIAC_MODEL: there is no such setting; did you mean CELERIAC_MODELS?\n"


def test_a_wrong_setting_ends_the_command_with_status_2_and_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CELERIAC_CORES_PER_PROCESS", "0")
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("wrong setting: CELERIAC_CORES_PER_PROCESS: ")


def test_no_variable_that_is_read_is_called_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"^#(CELERIAC_\w+)=", example_env(), re.MULTILINE):
        monkeypatch.setenv(name, "x")
    for name in ("CELERIAC_CONFIG_FILE", "CELERIAC_CORES"):
        monkeypatch.setenv(name, "x")
    assert unknown_variables() == []


@pytest.mark.parametrize("home", ["/", "/home/somebody"])
def test_the_committed_example_is_the_one_that_the_command_prints_for_everybody(working_dir: Path, home: str) -> None:
    environment = {**os.environ, "TMPDIR": str(working_dir), "HOME": home}
    command = [sys.executable, "-m", "config", "--example"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=working_dir)
    assert done.stdout == (ROOT / ".env.example").read_text(encoding="utf-8")


def uncommented(example: str) -> str:
    return re.sub(r"^#(CELERIAC_)", r"\1", example, flags=re.MULTILINE)


@pytest.mark.parametrize("change", [str, uncommented], ids=["as it is", "uncommented"])
def test_the_example_as_dotenv_changes_nothing(
    working_dir: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, change: Callable[[str], str]
) -> None:
    before = shown(capfd)
    (working_dir / ".env").write_text(change(example_env()))
    after = shown(capfd)
    assert {name: value for name, (value, _) in before.items()} == {name: value for name, (value, _) in after.items()}
    assert after["CELERIAC_LIMITS_HELD_REQUESTS"][1] == (".env" if change is uncommented else "default")
    # python-dotenv logs a warning for each line that it cannot read.
    assert caplog.records == []


@pytest.mark.parametrize("change", [str, uncommented], ids=["as it is", "uncommented"])
def test_dotenv_and_compose_read_the_same_from_the_example(
    working_dir: Path, caplog: pytest.LogCaptureFixture, change: Callable[[str], str]
) -> None:
    text = change(example_env())
    (working_dir / ".env").write_text(text)
    assert read_as_compose_does(text) == dict(dotenv_values(working_dir / ".env"))
    assert caplog.records == []


@pytest.mark.parametrize("line", ["`--autoscale` and `--concurrency` win.", "may have to wait.", "A B=c", "=c"])
def test_the_rules_of_compose_refuse_a_line_without_a_name(line: str) -> None:
    with pytest.raises(ValueError, match="refuses"):
        read_as_compose_does(f"A=1\n{line}\n")


def read_as_compose_does(text: str) -> dict[str, str]:
    """The variables in an `.env` file, by the rules of compose's parser (compose-go, package dotenv).

    A line is blank, a comment, or a name of letters, digits, ``_``, ``.``, ``-``, ``[`` and ``]`` followed by ``=``
    or ``:``. In an unquoted value, `` #`` starts a comment. Our values are neither quoted nor interpolated.

    Raises:
        ValueError: compose would refuse the file.
    """
    found = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_][\w.\-\[\]]*)\s*[=:](.*)", line, re.ASCII)
        if match is None or re.search(r"[\"'$\\]", match[2]):
            raise ValueError(f"compose refuses or changes the line {line!r}")
        found[match[1]] = re.split(r"\s#", match[2])[0].strip()
    return found
