"""A caller's own Celery app, on its own queue, in a process that cannot import this project.

Run as a file: ``python callers_app.py worker …``. What has our packages leaves ``sys.path`` before anything else is
imported; ``BROKER`` is the server.
"""

import os
import sys
from pathlib import Path

sys.path[:] = [entry for entry in sys.path if entry and not Path(entry, "producer").is_dir()]
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
try:
    import producer
except ImportError:
    pass
else:
    sys.exit(f"this project can be imported: {producer.__file__}")

import redis  # noqa: E402 - after the path is clean
from celery import Celery  # noqa: E402

app = Celery("callers", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.broker_connection_retry_on_startup = True
TEXTS = {"film": "a charming and often affecting journey", "bridge": "Ingrid Halvorsen designed the new bridge."}


@app.task(name="callers.extract")
def extract(page: str) -> str:
    """The text of a page."""
    return TEXTS[page]


@app.task(name="callers.best")
def best(labels: list[dict[str, object]]) -> object:
    """The first label of an answer."""
    return labels[0]["label"]


@app.task(name="callers.collect")
def collect(answers: list[object]) -> list[object]:
    """What a chord's parts have answered."""
    return answers


@app.task(name="callers.note")
def note(task_id: str, key: str) -> None:
    """Write down that a request has failed."""
    with redis.Redis.from_url(os.environ["BROKER"]) as notes:
        notes.set(key, task_id, ex=600)


@app.task(name="callers.block")
def block(key: str) -> None:
    """Keep this worker's one process until somebody pushes to a list."""
    with redis.Redis.from_url(os.environ["BROKER"]) as notes:
        notes.blpop([key], timeout=600)


if __name__ == "__main__":
    app.start(sys.argv[1:])
