"""The settings tree, and where it is read from.

Settings come from the environment (``CELERIAC_BROKER_URL``, ``CELERIAC_CORES_PER_PROCESS``), then from ``.env`` in the
working directory, then from a TOML file (``celeriac.toml``, or the file that ``CELERIAC_CONFIG_FILE`` names). The first
source that has a value wins. A variable is named after the group and the setting: ``[cores] per_process`` in TOML is
``CELERIAC_CORES_PER_PROCESS`` in the environment.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from config.directories import Directory
from config.groups import (
    ArithmeticChoice,
    BatchSettings,
    CoreSettings,
    DeadLetterSettings,
    EngineSettings,
    InferencePrecision,
    LimitSettings,
    LogFormat,
    LogSettings,
    MetricsSettings,
    ProcessSettings,
    ReloadSettings,
    ScaleSettings,
    SentrySettings,
    TimeSettings,
)
from config.variables import (
    CONFIG_FILE_VARIABLE,
    ENV_PREFIX,
    find_wrong_variables,
    unknown_setting_message,
    variable_name,
)
from producer.contract import RedisUrl, server_url

__all__ = [
    "CONFIG_FILE_VARIABLE",
    "ENV_PREFIX",
    "ArithmeticChoice",
    "InferencePrecision",
    "LogFormat",
    "Settings",
    "SettingsError",
    "config_file",
    "load_settings",
    "wanted_log_format",
]


class SettingsError(ValueError):
    """A setting has an invalid value, or there is no such setting. The message names each setting that is wrong."""

    @property
    def report(self) -> str:
        """What a command prints before it ends: the message, and where all settings are described."""
        return f"wrong setting: {self}\nSee .env.example for all settings and their values."


def _check_redis_url(url: SecretStr) -> SecretStr:
    RedisUrl.parse(url.get_secret_value())
    return url


def _split_names(value: object) -> object:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


ServerUrl = Annotated[SecretStr, AfterValidator(_check_redis_url)]
Names = Annotated[list[str], NoDecode, BeforeValidator(_split_names)]


class _Sources(BaseSettings):
    """The sources that settings are read from."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment takes precedence over ``.env``, and that over TOML."""
        toml = TomlConfigSettingsSource(settings_cls, config_file())
        return init_settings, env_settings, dotenv_settings, toml


class _LogSettings(_Sources):
    """The settings that are needed to report a wrong one."""

    log: LogSettings = LogSettings()


class Settings(_Sources):
    """All settings of Celeriac."""

    broker_url: ServerUrl = SecretStr("redis://localhost:6379/0")
    """URL of the Redis or Valkey server that carries requests: `redis://`, `rediss://`, `unix://`, or
    `sentinel://HOST:PORT,HOST:PORT/0?master_name=NAME`. A password in it must be percent-encoded."""

    broker_password: SecretStr | None = None
    """Password of the broker, not encoded, if the URL has none."""

    result_backend_url: ServerUrl | None = None
    """URL of the Redis or Valkey server that stores results; empty for the broker."""

    result_backend_password: SecretStr | None = None
    """Password of the result backend, not encoded, if it has a URL of its own and that has no password."""

    models: Names = Field(default=["sentiment", "nli", "qa"], min_length=1)
    """Models to serve, by name or path, separated by commas. The first one for a task answers the requests that name no
    model."""

    model_dir: Directory = Path("~/.cache/celeriac/models")
    """Directory of prepared models. Models are looked up here and among the bundled ones."""

    compiled_dir: Directory = Path("~/.cache/celeriac/compiled")
    """Directory of the compiled models, which are kept separately per CPU type and OpenVINO version. It must be on a
    local file system."""

    show_request_text: bool = False
    """Show the texts of requests in events, logs, Flower and Sentry."""

    cores: CoreSettings = CoreSettings()
    processes: ProcessSettings = ProcessSettings()
    scale: ScaleSettings = ScaleSettings()
    batch: BatchSettings = BatchSettings()
    engine: EngineSettings = EngineSettings()
    reload: ReloadSettings = ReloadSettings()
    limits: LimitSettings = LimitSettings()
    dead: DeadLetterSettings = DeadLetterSettings()
    time: TimeSettings = TimeSettings()
    metrics: MetricsSettings = MetricsSettings()
    sentry: SentrySettings = SentrySettings()
    log: LogSettings = LogSettings()

    @property
    def broker(self) -> RedisUrl:
        """The server that carries requests, with its password.

        Raises:
            InvalidRedisUrl: there are two passwords, or a user without a password.
        """
        return _server("broker", self.broker_url, self.broker_password)

    @property
    def result_backend(self) -> RedisUrl:
        """The server that stores results, with its password.

        Raises:
            InvalidRedisUrl: there are two passwords, or a user without a password.
            ValueError: there is a password for it, but no URL.
        """
        if self.result_backend_url is not None:
            return _server("result_backend", self.result_backend_url, self.result_backend_password)
        if self.result_backend_password is not None:
            raise ValueError(
                f"{variable_name('result_backend_password')}: requires {variable_name('result_backend_url')}; without "
                f"it, the broker stores the results, and {variable_name('broker_password')} is its password"
            )
        return self.broker

    def model_post_init(self, _: object, /) -> None:
        """Check settings against each other.

        Raises:
            ValueError: two limits are in the wrong order, or a server's password is missing, given twice or not used.
        """
        # Building these URLs raises what is wrong with them.
        _ = self.broker, self.result_backend
        time = self.time
        if not time.soft_limit_s < time.hard_limit_s:
            raise ValueError(
                "time: soft_limit_s must be below hard_limit_s; "
                f"they are {time.soft_limit_s:g} and {time.hard_limit_s:g} s"
            )
        processes = self.processes
        if processes.min is not None and processes.max is not None and processes.min > processes.max:
            raise ValueError(
                f"processes: min must not be above max; they are {processes.min} and {processes.max} "
                f"({variable_name('processes', 'min')}, {variable_name('processes', 'max')})"
            )


def _server(name: str, url: SecretStr, password: SecretStr | None) -> RedisUrl:
    return server_url(
        variable_name(f"{name}_url"), url.get_secret_value(), password.get_secret_value() if password else None
    )


def config_file() -> Path:
    """The path of the TOML file, which is read if it exists."""
    return Path(os.environ.get(CONFIG_FILE_VARIABLE) or "celeriac.toml")


def wanted_log_format() -> LogFormat:
    """The log format, even if other settings are wrong; the default if it cannot be read."""
    try:
        return _LogSettings().log.format
    except ValueError:
        return LogFormat.TEXT


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: the message names each wrong setting by its environment variable.
    """
    named = os.environ.get(CONFIG_FILE_VARIABLE)
    if named and not Path(named).is_file():
        raise SettingsError(f"{CONFIG_FILE_VARIABLE}: {named} is not a file")
    _check_variables()
    try:
        return Settings()
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise SettingsError("; ".join(_explain(details) for details in found)) from None
    except ValueError as error:
        raise SettingsError(f"{config_file()}: {error}") from error


def _check_variables() -> None:
    """Check what pydantic-settings would not report by the name of the variable.

    Raises:
        SettingsError: the message names each wrong variable, or ``.env`` if that is not a text file.
    """
    try:
        sources = (EnvSettingsSource(Settings), DotEnvSettingsSource(Settings))
    except ValueError as error:
        raise SettingsError(f"{Settings.model_config['env_file']}: {error}") from error
    messages = dict.fromkeys(
        message for source in sources for message in find_wrong_variables(Settings, source.env_vars)
    )
    if messages:
        raise SettingsError("; ".join(messages))


def _explain(details: ErrorDetails) -> str:
    path = [part for part in details["loc"] if isinstance(part, str)]
    message = details["msg"].removeprefix("Value error, ")
    if not path:
        return message
    name = variable_name(*path)
    return f"{name}: {unknown_setting_message(name, Settings) if details['type'] == 'extra_forbidden' else message}"
