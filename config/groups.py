"""The groups of settings: each setting with its default, its limits and its description.

The description is the docstring below a setting; ``.env.example`` is made from it.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from config.directories import Directory

__all__ = [
    "ArithmeticChoice",
    "BatchSettings",
    "CoreSettings",
    "DeadLetterSettings",
    "EngineSettings",
    "InferencePrecision",
    "LimitSettings",
    "LogFormat",
    "LogSettings",
    "MetricsSettings",
    "ProcessSettings",
    "ReloadSettings",
    "ScaleSettings",
    "SentrySettings",
    "TimeSettings",
]

Seconds = Annotated[float, Field(gt=0)]


class ArithmeticChoice(StrEnum):
    """The arithmetic of a quantized model's matrix products."""

    AUTO = "auto"
    INT8 = "int8"
    F32 = "f32"
    BF16 = "bf16"


class InferencePrecision(StrEnum):
    """The arithmetic of the parts of a model that are not quantized."""

    F32 = "f32"
    BF16 = "bf16"


class LogFormat(StrEnum):
    """The format of log lines."""

    TEXT = "text"
    JSON = "json"


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)


class CoreSettings(_Group):
    """The CPU cores that processes are pinned to."""

    per_process: Annotated[int, Field(ge=1)] = 1
    """Number of cores per process, and of threads of its model."""

    # Independent of TMPDIR: workers with different ones would not see each other's leases.
    lease_dir: Directory = Path("/tmp/celeriac-cores")  # noqa: S108
    """Directory of the core leases. All workers on a host must use the same one, on a local file system."""

    allow_sharing: bool = False
    """If no core is free, start on cores that another worker has leased. Both workers become slower."""


class ProcessSettings(_Group):
    """The number of processes of a worker."""

    min: Annotated[int, Field(ge=1)] | None = None
    """Minimum number of processes. If set, the number follows the load; if empty, it is always `max`. `--autoscale` and
    `--concurrency` take precedence."""

    max: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of processes; empty for as many as the free cores and the memory allow. `--concurrency` takes
    precedence."""

    max_memory_mib: Annotated[int, Field(ge=1)] | None = None
    """Memory of a process, in MiB and without what it shares with others, above which it is replaced between two
    batches. Empty for its share of the memory of this machine or of the control group."""


class ScaleSettings(_Group):
    """How the number of processes follows the load, if it does."""

    drain_s: Seconds = 2.0
    """Seconds within which the processes should finish all waiting requests, those in the queues included."""

    utilization: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of their time that processes should compute, over 0 and at most 1. The rest absorbs fluctuations."""

    cooldown_s: Seconds = 30.0
    """Seconds after which a process that is not needed is stopped."""


class BatchSettings(_Group):
    """How requests and sequences are batched."""

    max_tokens: Annotated[int, Field(ge=1)] = 512
    """Maximum number of tokens in one inference, padding included. A longer sequence is computed alone."""

    length_multiple: Annotated[int, Field(ge=1, le=512)] = 8
    """Sequence lengths are rounded up to a multiple of this, in tokens, so that shapes repeat. Lengths over 16 times
    this are rounded more coarsely."""

    max_requests: Annotated[int, Field(ge=1)] = 64
    """Maximum number of requests that a process takes at once."""

    max_cost: Annotated[int, Field(ge=1)] = 2048
    """Maximum number of tokens, estimated from the lengths of the texts, that a process takes at once. On a slow core
    it is what the process is expected to finish in `bulk_s`, but not less than `max_tokens`. A larger request is taken
    alone."""

    bulk_s: Seconds = 1.0
    """Seconds of work up to which a process may take more bulk requests at once. Interactive requests may have to wait
    this long."""


class EngineSettings(_Group):
    """How models are compiled."""

    arithmetic: ArithmeticChoice = ArithmeticChoice.AUTO
    """Arithmetic of a quantized model's matrix products. `auto` measures once on each type of CPU which is the fastest,
    and keeps the outcome with the compiled models. `int8`, `f32` or `bf16` is used on every CPU. With `f32` all hosts
    give the same answers; with `int8` only hosts with VNNI, AVX-VNNI or AMX do."""

    precision: InferencePrecision = InferencePrecision.F32
    """Arithmetic of the parts of a model that are not quantized, if its matrix products are computed in INT8: `f32`, or
    `bf16` on CPUs that support it (results differ from those of `f32` by about 5e-3)."""

    cache: bool = True
    """Keep compiled models on disk. Processes start sooner, and those on one host share the memory of the weights."""


class ReloadSettings(_Group):
    """How newly prepared models are taken without a restart."""

    every_s: Seconds | None = None
    """Seconds between looks at the models' directories. A new revision is checked and taken when one appears; empty to
    take it only on `celery -A worker control reload_models`."""


class LimitSettings(_Group):
    """How many requests a worker holds."""

    held_work_s: Annotated[float, Field(gt=0, le=15)] = 2.0
    """Seconds of estimated work that a worker may hold, at most 15. While it holds more, it fetches no requests."""

    held_requests: Annotated[int, Field(ge=1)] = 256
    """Maximum number of requests that a worker holds per process, whatever their estimated time."""


class DeadLetterSettings(_Group):
    """How many messages are kept that no worker can use; all workers on one Redis should agree."""

    max_letters: Annotated[int, Field(ge=1)] = 10_000
    """Number of dead letters that are kept. The oldest make room for new ones, and are counted."""

    max_bytes: Annotated[int, Field(ge=65_536)] = 64 * 1024 * 1024
    """Bytes that all dead letters together may have, at least 65536. A larger message is kept without its content."""

    max_age_s: Annotated[int, Field(ge=1)] = 7 * 24 * 3600
    """Seconds after which a dead letter is deleted."""

    content: bool = True
    """Keep the message itself, which contains its sender's text. Without it, a dead letter cannot be sent again."""


class TimeSettings(_Group):
    """Time limits."""

    soft_limit_s: Seconds = 40.0
    """Seconds after which a running request ends with `SoftTimeLimitExceeded`. A request that is expected to take more
    than a fifth of this on this core gets five times the expected time, unless its message sets a limit."""

    hard_limit_s: Seconds = 45.0
    """Seconds after which the process of a running request is killed and the request ends with `TimeLimitExceeded`. It
    is extended together with `soft_limit_s`."""

    lease_s: Annotated[float, Field(ge=2)] = 5.0
    """Seconds without a sign of life after which a worker's requests go to another one, at least 2. A worker gives one
    every fifth of this, whatever it computes."""

    visibility_timeout_s: Seconds = 60.0
    """Seconds after which requests go to another worker that a worker without leases held: plain Celery, or a version
    before 0.1."""

    shutdown_s: Seconds = 20.0
    """Seconds from SIGTERM to the worker's end. What waits goes back to Redis at once. What runs is finished, or goes
    back too 3 seconds before the end. A second SIGTERM does not wait, nor does SIGQUIT."""

    process_start_s: Seconds = 60.0
    """Seconds that a process has to load its models. After that, it is killed and counts as failed. Within half of them
    it may measure which arithmetic is the fastest."""

    result_expires_s: Annotated[int, Field(ge=1)] = 3600
    """Seconds after which a result is deleted."""


class SentrySettings(_Group):
    """Errors and traces in Sentry. They contain no request text unless `CELERIAC_SHOW_REQUEST_TEXT` is set."""

    dsn: SecretStr | None = None
    """DSN of the Sentry project; empty to disable Sentry."""

    environment: str = "production"
    """Environment that errors and traces are reported under."""

    traces_sample_rate: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of requests that are traced, from 0 to 1, unless their sender has decided; 0 disables tracing entirely."""


class MetricsSettings(_Group):
    """What a worker serves over HTTP: metrics for Prometheus, health, and the numbers for a cluster autoscaler."""

    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of `/metrics`, `/healthz`, `/readyz` and `/scale`; empty to disable them. Each worker on a host needs its
    own."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` in a container."""

    deaf_s: Seconds = 30.0
    """Seconds without a fetch, while requests wait in its queues, after which a worker is not ready."""


class LogSettings(_Group):
    """Log lines."""

    format: LogFormat = LogFormat.TEXT
    """`text` for people, `json` for one JSON object per line."""
