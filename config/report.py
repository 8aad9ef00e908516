"""Where each effective setting came from, and the settings as text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, TomlConfigSettingsSource

from config.settings import Settings, config_file
from config.variables import ENV_PREFIX, known_variables, variable

__all__ = ["Origin", "SettingLine", "describe", "example_env", "unknown_variables"]

#: What is shown of a URL: a user name with its colon; host, port and path; parameters that hold no secret.
_USER = re.compile(r"[\w.-]+:")
_PLACE = re.compile(r"(\[[\w:.]*\]|[\w.-]*)(:\d*)?(/[\w./~-]*)?")
_HARMLESS_PARAMETER = re.compile(r"(db|protocol|max_connections|health_check_interval|socket_\w+)=[\w.]*")
_PASSWORD_PARAMETER = re.compile(r"\w*password=")


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
        yield SettingLine(variable(*path), _show(value), origin, field.description or "")


def example_env() -> str:
    """The text of ``.env.example``: every setting, commented out at its default."""
    lines = [
        "# Settings of Celeriac, each at its default. Copy to .env and uncomment what you change.",
        "# Made by `python -m config --example`; a test keeps it true.",
    ]
    defaults = Settings.model_construct()
    for path, field, value in _fields(defaults):
        description = (f"# {line}" for line in (field.description or "").splitlines())
        lines += ["", *description, f"#{variable(*path)}={_show_default(value)}"]
    return "\n".join(lines) + "\n"


def unknown_variables() -> list[str]:
    """Environment variables with our prefix that no setting reads: a misspelling, most likely."""
    known = known_variables(Settings)
    return sorted(name for name in os.environ if name.upper().startswith(ENV_PREFIX) and name.upper() not in known)


def _fields(model: BaseModel, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo, Any]]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _fields(value, (*path, name))
        else:
            yield (*path, name), field, value


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
    return _show(value)


def _mask(url: str) -> str:
    """A URL of which nothing is shown that may be a piece of its password; a lone user name may be a key too.

    No parser can be trusted here: one that was pasted as it is, with ``@``, ``/``, ``?`` or ``#``, ends for it too
    early, and the rest looks like a host, a path or a parameter.
    """
    scheme, separator, rest = url.partition("://")
    before, mark, query = rest.partition("?")
    if not separator or "@" in query:
        return f"{scheme}://***" if separator else "***"
    credentials, at, place = before.rpartition("@")
    user = _USER.match(credentials)
    shown = f"{user[0] if user else ''}***@" if at else ""
    shown += place if _PLACE.fullmatch(place) else "***"
    return f"{scheme}://{shown}{mark}{'&'.join(_mask_parameter(pair) for pair in query.split('&'))}"


def _mask_parameter(pair: str) -> str:
    if not pair or _HARMLESS_PARAMETER.fullmatch(pair):
        return pair
    password = _PASSWORD_PARAMETER.match(pair)
    return f"{password[0] if password else ''}***"
