"""Where each effective setting came from, and the settings as text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, TomlConfigSettingsSource

from config.settings import CONFIG_FILE_VARIABLE, ENV_PREFIX, Settings, config_file

__all__ = ["Origin", "SettingLine", "describe", "example_env", "unknown_variables"]


class Origin(StrEnum):
    """Where a value came from."""

    ENVIRONMENT = "environment"
    DOTENV = ".env"
    TOML = "toml"
    DEFAULT = "default"


@dataclass(frozen=True)
class SettingLine:
    """One setting as it is in force."""

    variable: str
    value: str
    origin: Origin
    description: str


def describe(settings: Settings) -> Iterator[SettingLine]:
    """Every setting, secrets masked."""
    sources: dict[Origin, Mapping[str, Any]] = {
        Origin.ENVIRONMENT: EnvSettingsSource(Settings)(),
        Origin.DOTENV: DotEnvSettingsSource(Settings, env_file=".env")(),
        Origin.TOML: TomlConfigSettingsSource(Settings, config_file())(),
    }
    for path, field, value in _fields(settings):
        origin = next((origin for origin, source in sources.items() if _has(source, path)), Origin.DEFAULT)
        yield SettingLine(_variable(path), _show(value), origin, field.description or "")


def example_env() -> str:
    """The text of ``.env.example``: every setting, commented out at its default."""
    lines = [
        "# Settings of Celeriac, each at its default. Copy to .env and uncomment what you change.",
        "# Made by `python -m config --example`; a test keeps it true.",
    ]
    defaults = Settings.model_construct()
    for path, field, value in _fields(defaults):
        lines += ["", f"# {field.description}", f"#{_variable(path)}={_show_default(value)}"]
    return "\n".join(lines) + "\n"


def unknown_variables() -> list[str]:
    """Environment variables with our prefix that no setting reads: a misspelling, most likely."""
    known = {_variable(path) for path, _, _ in _fields(Settings.model_construct())} | {CONFIG_FILE_VARIABLE}
    return sorted(name for name in os.environ if name.upper().startswith(ENV_PREFIX) and name.upper() not in known)


def _fields(model: BaseModel, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo, Any]]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _fields(value, (*path, name))
        else:
            yield (*path, name), field, value


def _variable(path: tuple[str, ...]) -> str:
    return ENV_PREFIX + "_".join(path).upper()


def _has(source: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    here: Any = source
    for part in path:
        if not isinstance(here, Mapping) or part not in here:
            return False
        here = here[part]
    return True


def _show(value: Any) -> str:
    if isinstance(value, SecretStr):
        return _mask(value.get_secret_value())
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list) else str(value)


def _show_default(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        home = str(Path.home())
        return "~" + str(value).removeprefix(home) if str(value).startswith(home) else str(value)
    return _show(value)


def _mask(url: str) -> str:
    """A URL without its password, in whichever of the two places it stands; a lone user name may be a key too."""
    shown = re.sub(r"//(?:([^/@:]*):)?[^/@]*@", lambda found: f"//{found[1] + ':' if found[1] else ''}***@", url)
    return re.sub(r"(password=)[^&]*", r"\1***", shown)
