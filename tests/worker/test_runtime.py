"""Each app has a runtime of its own, and a plain Celery app has none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from config import load_settings
from worker.inference.served_models import ServedModels
from worker.pool import PoolHooks
from worker.pool.hooks import hooks_of
from worker.runtime import CeleriacApp, WorkerRuntime, runtime_of

#: Two apps as workers have them; in a process of their own, since each becomes Celery's current app.
TWO_APPS = """
import json, os
from config import load_settings
from worker.celery_app import create_app
from worker.runtime import runtime_of

apps = []
for models in ("sentiment", "qa"):
    os.environ["CELERIAC_MODELS"] = models
    apps.append(create_app(load_settings()))
one, two = apps
one.runtime.meter.moved["a-task"] += 1
one.runtime.throughput.observe(1, 60.0)
print(json.dumps({
    "models": [app.runtime.served.names for app in apps],
    "tasks": [[name for name in sorted(app.tasks) if not name.startswith("celery.")] for app in apps],
    "moved": [app.runtime.meter.moved.total() for app in apps],
    "first_byte_s": [app.runtime.throughput.estimate_s(1) for app in apps],
    "hooks_are_its_own": [app.pool_hooks is app.runtime.pool_hooks for app in apps],
    "of_its_tasks": [
        [runtime_of(task.app) is app.runtime for name, task in app.tasks.items() if not name.startswith("celery.")]
        for app in apps
    ],
    "shared": [
        name for name, value in vars(one.runtime).items() if value is not None and value is vars(two.runtime)[name]
    ],
}))
"""


@pytest.fixture
def runtime() -> WorkerRuntime:
    return WorkerRuntime(load_settings(), ServedModels(()))


@pytest.fixture
def app(runtime: WorkerRuntime) -> Iterator[CeleriacApp]:
    made = CeleriacApp("tested", runtime=runtime, set_as_current=False)
    yield made
    made.close()


def test_two_apps_in_one_process_share_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", TWO_APPS], capture_output=True, text=True, check=True, cwd=tmp_path)

    found = json.loads(done.stdout)
    assert found["models"] == [["sentiment"], ["qa"]]
    assert found["tasks"] == [["text-classification"], ["question-answering"]]
    assert found["moved"] == [1, 0]
    assert found["first_byte_s"][0] == 60.0
    assert found["first_byte_s"][1] < 1.0
    assert found["hooks_are_its_own"] == [True, True]
    assert found["of_its_tasks"] == [[True], [True]]
    assert found["shared"] == []


def test_an_app_hands_over_its_runtime_and_its_hooks(app: CeleriacApp, runtime: WorkerRuntime) -> None:
    assert runtime_of(app) is runtime
    assert hooks_of(app) is runtime.pool_hooks

    runtime.pool_hooks = PoolHooks()
    assert hooks_of(app) is runtime.pool_hooks


def test_a_plain_celery_app_has_no_runtime() -> None:
    plain = Celery("plain", set_as_current=False)

    with pytest.raises(TypeError, match=r"plain.* is not an app of Celeriac"):
        runtime_of(plain)
    assert type(hooks_of(plain)) is PoolHooks


def test_what_only_a_started_worker_has_is_refused_before(runtime: WorkerRuntime) -> None:
    with pytest.raises(RuntimeError, match="no worker has started"):
        runtime.started_leases()
    with pytest.raises(RuntimeError, match="no worker has started"):
        runtime.started_workload()
    with pytest.raises(RuntimeError, match="pool processes only"):
        runtime.loaded_models()


def test_importing_the_worker_makes_no_app_until_it_is_asked_for(tmp_path: Path) -> None:
    code = (
        "import sys, worker, worker.pool, worker.transport\n"
        "assert 'worker.celery_app' not in sys.modules\n"
        "assert worker.app is worker.app\n"
        "assert worker.app.main == 'celeriac'\n"
        "try: worker.no_such_name\n"
        "except AttributeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert done.stdout == "module 'worker' has no attribute 'no_such_name'\n"
