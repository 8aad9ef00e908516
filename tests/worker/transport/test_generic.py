"""The transport serves an app that has nothing else of this project."""

from __future__ import annotations

from pathlib import Path

import redis

from tests.worker.transport.helpers import output_of

#: From here on no other package of the project, and no other room of the worker, can be imported.
ALONE = """
import sys

class Alone:
    def find_spec(self, name, path=None, target=None):
        package, room = [*name.split("."), ""][:2]
        if package in ("models", "config", "producer") or (package == "worker" and room not in ("", "transport")):
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, Alone())
"""

#: A worker in this process, which stops once it has run its task.
SERVE_ONE = """
from celery import Celery
from celery.worker import state

app = Celery("plain", broker=sys.argv[1], amqp="worker.transport:AMQP")
app.conf.update(task_ignore_result=True, task_acks_late=True, worker_hijack_root_logger=False)

@app.task(name="greet")
def greet(name):
    print("hello", name, flush=True)
    state.should_stop = 0

app.send_task("greet", ("transport",))
print(app.connection_for_read().get_transport_cls().__module__, flush=True)
app.Worker(pool="solo", without_gossip=True, without_mingle=True, quiet=True, redirect_stdouts=False).start()
"""


def test_other_rooms_cannot_be_imported_here(tmp_path: Path) -> None:
    code = (
        f"{ALONE}\n"
        "for name in ('models', 'config.settings', 'producer.contract', 'worker.pool', 'worker.intake.queue_order'):\n"
        "    try:\n"
        "        __import__(name)\n"
        "    except AssertionError as error:\n"
        "        print(error)\n"
    )
    assert output_of(code, tmp_path).count("is imported") == 5


def test_a_plain_app_publishes_and_consumes_with_the_transport_alone(
    url: str, keys: redis.Redis, tmp_path: Path
) -> None:
    assert output_of(ALONE + SERVE_ONE, tmp_path, url) == "worker.transport.transport\nhello transport\n"
    assert not keys.exists("celery", "unacked", "unacked_index")
