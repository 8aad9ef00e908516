"""The settings tree: every setting with its unit, its limits and its meaning.

Values come from the environment (``CELERIAC_BROKER_URL``, ``CELERIAC_CORES_PER_PROCESS``), from ``.env`` in the
working directory and from a TOML file (``celeriac.toml``, or the one that ``CELERIAC_CONFIG_FILE`` names), in that
order of precedence. A group's name and the field's name make the variable: ``[cores] per_process`` in TOML is
``CELERIAC_CORES_PER_PROCESS`` in the environment.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
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
from config.variables import CONFIG_FILE_VARIABLE, ENV_PREFIX, no_such_setting, variable, wrong_variables
from producer.contract import RedisUrl, server_url

__all__ = [
    "CONFIG_FILE_VARIABLE",
    "ENV_PREFIX",
    "InferencePrecision",
    "LogFormat",
    "Settings",
    "SettingsError",
    "config_file",
    "load_settings",
    "wanted_log_format",
]


class SettingsError(ValueError):
    """A setting has a value that it cannot take; the message names each such setting."""


class InferencePrecision(StrEnum):
    """Arithmetic of what is not quantized in a model."""

    F32 = "f32"
    BF16 = "bf16"


class LogFormat(StrEnum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


def _redis_url(url: SecretStr) -> SecretStr:
    RedisUrl.parse(url.get_secret_value())
    return url


def _names(value: Any) -> Any:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


ServerUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
Names = Annotated[list[str], NoDecode, BeforeValidator(_names)]
Seconds = Annotated[float, Field(gt=0)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)


class Cores(_Group):
    """Which CPU cores the processes are pinned to."""

    per_process: Annotated[int, Field(ge=1)] = 1
    """Cores of one process, which are also the threads of its model."""

    # Whatever TMPDIR is: workers that differ in it would not see each other's leases.
    lease_dir: Directory = Path("/tmp/celeriac-cores")  # noqa: S108
    """Directory of the core leases; every worker on a host must use the same one, on a local file system."""

    allow_sharing: bool = False
    """Start on cores that another worker has leased when none is free. Both become slower."""


class Processes(_Group):
    """How many processes a worker has."""

    min: Annotated[int, Field(ge=1)] | None = None
    """Fewest processes: set it to have them follow the work that waits. Empty for as many as `max`, always.
    `--autoscale` and `--concurrency` win."""

    max: Annotated[int, Field(ge=1)] | None = None
    """Most processes of one worker; empty for as many as there are free cores, and memory. `--concurrency` wins."""


class Scale(_Group):
    """How the processes follow the work, where they do."""

    drain_s: Seconds = 2.0
    """What waits, in the queues and here, shall be worked off in this time, in seconds."""

    utilization: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of their time that processes shall compute; the rest absorbs fluctuations."""

    cooldown_s: Seconds = 30.0
    """A process goes when it was not needed for so long, in seconds."""


class Batch(_Group):
    """How sequences are put together for the model."""

    max_tokens: Annotated[int, Field(ge=1)] = 512
    """Most tokens, padding included, that one inference computes; a single longer sequence goes alone."""

    length_multiple: Annotated[int, Field(ge=1, le=512)] = 8
    """Lengths are rounded up to a multiple of this, those over 16 times it coarser, so that shapes repeat."""

    max_requests: Annotated[int, Field(ge=1)] = 64
    """Most requests that a process takes at once."""

    max_cost: Annotated[int, Field(ge=1)] = 2048
    """Most tokens, estimated from the texts' lengths, that a process takes at once; a longer request goes alone."""

    bulk_s: Seconds = 1.0
    """Bulk requests may take more at once, up to what a process does in this time, in seconds. An interactive request
    may have to wait as long."""


class Engine(_Group):
    """How a model is compiled."""

    precision: InferencePrecision = InferencePrecision.F32
    """Arithmetic of what is not quantized: `f32`, or `bf16` on CPUs that have it (faster, 5e-3 away from `f32`)."""

    cache: bool = True
    """Keep compiled models on disk: processes start sooner, and those of one host share the memory of the weights."""


class Limits(_Group):
    """How much a worker takes on."""

    held_work_s: Annotated[float, Field(gt=0, le=15)] = 2.0
    """A worker fetches no more while what it holds is estimated to take longer than this, in seconds, at most 15."""

    held_requests: Annotated[int, Field(ge=1)] = 256
    """Most requests per process that a worker holds, whatever they are estimated to take."""


class Time(_Group):
    """Time limits of a request and of a shutdown."""

    soft_limit_s: Seconds = 40.0
    """A request that computes for longer is ended with `SoftTimeLimitExceeded`, in seconds."""

    hard_limit_s: Seconds = 45.0
    """A request that computes for longer has its process killed and ends with `TimeLimitExceeded`, in seconds."""

    visibility_timeout_s: Seconds = 60.0
    """What a dead worker held is given to another after this, in seconds. All workers of one Redis must agree."""

    shutdown_s: Seconds = 20.0
    """On a soft shutdown, requests that run may finish for this long, in seconds; the others go back to Redis."""

    process_start_s: Seconds = 60.0
    """A process that has not loaded its model after this is killed and counts as failed, in seconds."""

    result_expires_s: Annotated[int, Field(ge=1)] = 3600
    """Results are deleted after this, in seconds."""


class Sentry(_Group):
    """Errors and traces. Request text is never in them unless `CELERIAC_SHOW_REQUEST_TEXT` is set."""

    dsn: SecretStr | None = None
    """Where to send them; empty for nowhere."""

    environment: str = "production"
    """The environment that they are filed under."""

    traces_sample_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of requests that are traced, from 0 to 1, where their sender has not decided; 0 for none at all."""


class Metrics(_Group):
    """What a worker tells over HTTP: metrics for Prometheus, health, and what a cluster autoscaler needs."""

    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of `/metrics`, `/healthz`, `/readyz` and `/scale`; empty for none. Each worker on a host needs its own."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` in a container."""

    deaf_s: Seconds = 30.0
    """A worker that has fetched nothing for so long while requests wait in its queues is not ready, in seconds."""


class Log(_Group):
    """Log lines."""

    format: LogFormat = LogFormat.TEXT
    """`text` for people, `json` for one JSON object a line."""


class _Tree(BaseSettings):
    """Where settings are read from."""

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
        """Environment before ``.env`` before TOML."""
        toml = TomlConfigSettingsSource(settings_cls, config_file())
        return init_settings, env_settings, dotenv_settings, toml


class _LogSettings(_Tree):
    """What must be known to report a wrong setting."""

    log: Log = Log()


class Settings(_Tree):
    """All settings of Celeriac."""

    broker_url: ServerUrl = SecretStr("redis://localhost:6379/0")
    """The Redis or Valkey server that carries requests: `redis://`, `rediss://` or `unix://`. What is special in a
    password must be percent-encoded here."""

    broker_password: SecretStr | None = None
    """The broker's password as it is, nothing encoded, where the URL has none."""

    result_backend_url: ServerUrl | None = None
    """The Redis or Valkey server that keeps results; empty for the broker's."""

    result_backend_password: SecretStr | None = None
    """The password of the server that keeps results, as it is, where that has a URL of its own without one."""

    models: Names = Field(default=["sentiment", "nli", "qa"], min_length=1)
    """Models to serve, by name or path, separated by commas; the first for a task answers when none is named."""

    model_dir: Directory = Path("~/.cache/celeriac/models")
    """Where prepared models are kept, beside the bundled ones."""

    compiled_dir: Directory = Path("~/.cache/celeriac/compiled")
    """Where compiled models are kept, apart for each type of CPU and version of OpenVINO; on a local file system."""

    show_request_text: bool = False
    """Show requests' texts in events, logs, Flower and Sentry."""

    cores: Cores = Cores()
    processes: Processes = Processes()
    scale: Scale = Scale()
    batch: Batch = Batch()
    engine: Engine = Engine()
    limits: Limits = Limits()
    time: Time = Time()
    metrics: Metrics = Metrics()
    sentry: Sentry = Sentry()
    log: Log = Log()

    @property
    def broker(self) -> RedisUrl:
        """The server that carries requests, with its password."""
        return _server("broker", self.broker_url, self.broker_password)

    @property
    def result_backend(self) -> RedisUrl:
        """The server that keeps results, with its password.

        Raises:
            ValueError: there is a password for it and no URL.
        """
        if self.result_backend_url is not None:
            return _server("result_backend", self.result_backend_url, self.result_backend_password)
        if self.result_backend_password is not None:
            raise ValueError(
                f"{variable('result_backend_password')}: results are kept by the broker, whose password is "
                f"{variable('broker_password')}, unless {variable('result_backend_url')} names another server"
            )
        return self.broker

    def model_post_init(self, _: Any) -> None:
        """Hold settings against each other.

        Raises:
            ValueError: one that must be the smaller is not, or a password is there twice.
        """
        _ = self.broker, self.result_backend
        time = self.time
        if not time.soft_limit_s < time.hard_limit_s < time.visibility_timeout_s:
            raise ValueError(
                "time: soft_limit_s must be below hard_limit_s, and that below visibility_timeout_s: "
                f"they are {time.soft_limit_s:g}, {time.hard_limit_s:g} and {time.visibility_timeout_s:g} s"
            )
        processes = self.processes
        if processes.min is not None and processes.max is not None and processes.min > processes.max:
            raise ValueError(
                f"processes: min must not be above max: they are {processes.min} and {processes.max} "
                f"({variable('processes', 'min')}, {variable('processes', 'max')})"
            )


def _server(name: str, url: SecretStr, password: SecretStr | None) -> RedisUrl:
    return server_url(
        variable(f"{name}_url"), url.get_secret_value(), password.get_secret_value() if password else None
    )


def config_file() -> Path:
    """The TOML file that is read if it exists."""
    return Path(os.environ.get(CONFIG_FILE_VARIABLE) or "celeriac.toml")


def wanted_log_format() -> LogFormat:
    """How lines shall be written, as far as that can be read although another setting is wrong."""
    try:
        return _LogSettings().log.format
    except ValueError:
        return LogFormat.TEXT


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: naming each setting that has a wrong value, by its environment variable.
    """
    named = os.environ.get(CONFIG_FILE_VARIABLE)
    if named and not Path(named).is_file():
        raise SettingsError(f"{CONFIG_FILE_VARIABLE} names {named}, which is not a file")
    _check_variables()
    try:
        return Settings()
    except ValidationError as error:
        findings = error.errors(include_url=False, include_input=False)
        raise SettingsError("; ".join(_explain(finding) for finding in findings)) from None
    except ValueError as error:
        raise SettingsError(f"{config_file()}: {error}") from error


def _check_variables() -> None:
    """Find what pydantic-settings would not name by its variable.

    Raises:
        SettingsError: naming each such variable, or ``.env`` where that is not text.
    """
    try:
        sources = (EnvSettingsSource(Settings), DotEnvSettingsSource(Settings))
    except ValueError as error:
        raise SettingsError(f"{Settings.model_config['env_file']}: {error}") from error
    wrong = dict.fromkeys(finding for source in sources for finding in wrong_variables(Settings, source.env_vars))
    if wrong:
        raise SettingsError("; ".join(wrong))


def _explain(finding: Any) -> str:
    path = [str(part) for part in finding["loc"] if not isinstance(part, int)]
    message = finding["msg"].removeprefix("Value error, ")
    if not path:
        return str(message)
    name = variable(*path)
    return f"{name}: {no_such_setting(name, Settings) if finding['type'] == 'extra_forbidden' else message}"
