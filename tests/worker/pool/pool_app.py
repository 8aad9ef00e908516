"""A Celery app for tests of the pool: batch tasks and plain tasks that do what a keyword argument says.

``celery -A tests.worker.pool.pool_app worker``; :data:`CONFIG_VARIABLE` holds Celery's configuration as JSON,
:data:`NOTES_VARIABLE` a file to which computations and signals are written, a line of JSON each.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from billiard import current_process
from celery import Celery, Task, signals
from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded

from producer.contract import ErrorCode, ModelFailed
from worker.pool import BatchTask, Call, PoolHooks, TaskResult
from worker.results.backend import RESULT_BACKENDS

CONFIG_VARIABLE = "POOL_APP_CONFIG"
NOTES_VARIABLE = "POOL_APP_NOTES"
#: A file. While it exists, starting processes wait.
LOADING_VARIABLE = "POOL_APP_LOADING"
#: In the configuration, which transport the app has; stock kombu's without it.
AMQP = "amqp"
#: An option of the app: how much memory a process gets beyond what it has at its start, in bytes.
ROOM = "room_bytes"
_POLL_S = 0.005


class ContractErrors(PoolHooks):
    """Requests whose processes died end with the contract's error, as in our own app."""

    def process_died(self, problem: str) -> Exception:
        """See :meth:`PoolHooks.process_died`."""
        return ModelFailed.of(ErrorCode.PROCESS_DIED, problem)


class PoolApp(Celery):
    """An app with hooks for the pool."""

    pool_hooks = ContractErrors()


_config = json.loads(os.environ.get(CONFIG_VARIABLE, "{}"))
app = PoolApp("pool_app", amqp=_config.pop(AMQP, None), set_as_current=True)
app.conf.update(_config)
if app.conf.worker_pool != "prefork":
    # Celery's own pool is the reference, and keeps Celery's own backend.
    app.loader.override_backends = RESULT_BACKENDS


def note(**what: Any) -> None:
    """Write a line about what happens. Short lines of several processes never mix."""
    path = os.environ.get(NOTES_VARIABLE)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({**what, "pid": os.getpid()}) + "\n")


class Unloadable(Exception):
    """An error that cannot be unpickled."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def _raise(error: BaseException) -> None:
    raise error


def _wait_for(condition: Callable[[], bool]) -> None:
    """Poll until a condition on files holds; signals are handled meanwhile."""
    never = threading.Event()
    while not condition():
        never.wait(_POLL_S)


def _hang(until: str) -> None:
    Path(until + ".held").touch()
    _wait_for(Path(until).exists)


def _die_then_hang(until: str) -> None:
    if not Path(until + ".died").exists():
        Path(until + ".died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    _hang(until)


def _deadlock(library: ctypes.CDLL) -> None:
    """Block in native code, whatever signals arrive."""
    mutex = ctypes.create_string_buffer(256)
    for _ in range(2):
        library.pthread_mutex_lock(mutex)


def _kill_worker(_: object) -> None:
    """As when a whole worker runs out of memory."""
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


#: What a request can do to its batch or process, by its argument ``do``. It takes the argument ``value``.
DEEDS: Mapping[str, Callable[[Any], Any]] = {
    "raise": lambda text: _raise(ValueError(text)),
    "memory": lambda text: _raise(MemoryError(text)),
    "sys_exit": sys.exit,
    "os_exit": os._exit,
    "signal": lambda number: os.kill(os.getpid(), number),
    "kill_worker": _kill_worker,
    "hang": _hang,
    "die_then_hang": _die_then_hang,
    "allocate": bytearray,
    "deadlock": lambda _: _deadlock(ctypes.CDLL(None)),
    "deadlock_with_gil": lambda _: _deadlock(ctypes.PyDLL(None)),
    # Runs until a signal ends it.
    "last": lambda seconds: threading.Event().wait(seconds),
}


def _error_of(do: str, value: Any, retries: int) -> Exception | None:
    """The error with which only this request ends."""
    if do == "retry" and retries < int(value or 1):
        retry: Exception = Retry(exc=ValueError("again"), when=0)
        return retry
    errors: dict[str, Callable[[], Exception]] = {
        "error": lambda: KeyError(value),
        "memory_answer": lambda: MemoryError(value),
        "reject": lambda: Reject("unwanted", requeue=False),
        "ignore": Ignore,
        "unloadable": lambda: Unloadable("a", "b"),
        "soft": SoftTimeLimitExceeded,
    }
    return errors[do]() if do in errors else None


class Probe(BatchTask):
    """Does what its requests say, and returns the size of the batch that computed each."""

    abstract = True

    def compute(self, calls: Sequence[Call]) -> list[TaskResult]:
        """See :meth:`BatchTask.compute`."""
        note(computed=[call.headers["id"] for call in calls])
        for call in calls:
            if call.kwargs.get("do") in DEEDS:
                DEEDS[call.kwargs["do"]](call.kwargs.get("value"))
        return [self._result(call, len(calls)) for call in calls]

    def batch_key(self, call: Call) -> Hashable:
        """The call's ``key``."""
        key: Hashable = call.kwargs.get("key")
        return key

    def batch_cost(self, call: Call, body_bytes: int) -> int:  # noqa: ARG002 - as the base class
        """The call's ``cost``, or 1."""
        return int(call.kwargs.get("cost", 1))

    def _result(self, call: Call, size: int) -> TaskResult:
        retries = int(call.headers.get("retries") or 0)
        error = _error_of(call.kwargs.get("do", ""), call.kwargs.get("value"), retries)
        if error is not None:
            return TaskResult(error=error)
        value: Any = call.kwargs.get("value")
        found = "x" * value if call.kwargs.get("do") == "enlarge" else value
        return TaskResult({"pid": os.getpid(), "size": size, "value": found, "retries": retries})

    def on_success(self, _: Any, task_id: str, __: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Celery's callback."""
        note(on_success=task_id)
        if kwargs.get("do") == "die_late":
            os.kill(os.getpid(), kwargs["value"])
        if kwargs.get("do") == "reject_late":
            raise Reject("too late", requeue=False)

    def on_failure(self, _: Exception, task_id: str, *__: Any) -> None:
        """Celery's callback."""
        note(on_failure=task_id)


def _register(name: str, **options: Any) -> None:
    app.register_task(type(name, (Probe,), {"name": name, "__module__": __name__, **options})())


_register("probe", acks_late=True)
_register("early", acks_late=False)
_register("started", acks_late=True, track_started=True)
_register("silent", acks_late=True, ignore_result=True)
_register("limited", acks_late=True, rate_limit="60/m")
_register(
    "auto", acks_late=True, autoretry_for=(KeyError,), retry_kwargs={"max_retries": 2, "countdown": 0}, max_retries=2
)
_register("surviving", acks_late=True, Request="worker.pool.surviving_request:SurvivingRequest")
_register("redelivered", acks_late=True, reject_on_worker_lost=True)


@app.task(name="plain", bind=True, acks_late=True)
def plain(self: Task, do: str = "", value: Any = None) -> dict[str, Any]:
    """Like ``probe``, but not a batch task."""
    note(computed=[self.request.id])
    if do in DEEDS:
        DEEDS[do](value)
    error = _error_of(do, value, self.request.retries)
    if isinstance(error, Retry):
        raise self.retry(exc=error.exc, countdown=0)
    if error is not None:
        raise error
    return {"pid": os.getpid(), "size": 1, "value": value, "retries": self.request.retries}


@app.task(name="collect")
def collect(*found: Any) -> Any:
    """Return the last argument. Serves as a link, the end of a chain, or the body of a chord."""
    note(collected=True)
    return found[-1] if found else None


@app.task(name="errback")
def errback(task_id: str) -> None:
    """Write down which request failed, and the state of its result."""
    note(errback=task_id, state=app.AsyncResult(task_id).state)


@signals.worker_process_init.connect(weak=False)
def _on_process_init(**_: object) -> None:
    note(starts=current_process().index)
    if ROOM in app.conf:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit_bytes = pages * os.sysconf("SC_PAGE_SIZE") + app.conf[ROOM]
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    loading = os.environ.get(LOADING_VARIABLE)
    if loading:
        _wait_for(lambda: not Path(loading).exists())


def _note_signal(name: str) -> None:
    def on_signal(sender: Any = None, task_id: str | None = None, request: Any = None, **_: object) -> None:
        found = task_id or getattr(request, "id", None) or getattr(getattr(sender, "request", None), "id", None)
        note(signal=name, id=found)

    getattr(signals, name).connect(on_signal, weak=False)


for _name in (
    "task_received",
    "task_prerun",
    "task_postrun",
    "task_success",
    "task_failure",
    "task_retry",
    "task_revoked",
):
    _note_signal(_name)
