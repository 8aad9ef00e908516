"""Where models are made: nothing half-made stays, and nothing that is served goes missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from models.prepare import workspace as room_module
from models.prepare.workspace import put_in_place, working_room

_HOLD = """
import sys
from pathlib import Path
from models.prepare.workspace import working_room
with working_room(Path(sys.argv[1])) as room:
    (room / "half").write_text("made")
    print(room.name, flush=True)
    sys.stdin.read()
"""


def make(room: Path, content: str) -> Path:
    made = room / "made"
    made.mkdir()
    (made / "content").write_text(content)
    return made


def test_what_is_made_comes_to_its_place_and_the_room_goes(tmp_path: Path) -> None:
    with working_room(tmp_path / "models" / "mine") as room:
        put_in_place(make(room, "new"), tmp_path / "models" / "mine")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["mine"]
    assert (tmp_path / "models" / "mine" / "content").read_text() == "new"


def test_a_room_goes_with_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with working_room(tmp_path / "mine") as room:
            make(room, "half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it has no message
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("can_exchange", [True, False])
def test_what_is_there_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool) -> None:
    if not can_exchange:
        monkeypatch.setattr(room_module, "exchange", lambda *_: False)
    for content in ("old", "new"):
        with working_room(tmp_path / "mine") as room:
            put_in_place(make(room, content), tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine" / "content").read_text() == "new"


def test_while_it_is_replaced_again_and_again_it_is_always_there(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    is_over = threading.Event()
    missing: list[str] = []

    def watch() -> None:
        while not is_over.is_set():
            if not (target / "content").exists():
                missing.append("the model was not there")

    with working_room(target) as room:
        put_in_place(make(room, "first"), target)
    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(200):
        with working_room(target) as room:
            put_in_place(make(room, str(number)), target)
    is_over.set()
    watcher.join()
    assert missing == []


def test_several_that_make_the_same_do_not_disturb_each_other(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    with working_room(target) as one, working_room(target) as other:
        put_in_place(make(one, "one"), target)
        put_in_place(make(other, "other"), target)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (target / "content").read_text() == "other"


def test_the_room_of_a_killed_process_is_cleared_by_the_next_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    command = [sys.executable, "-c", _HOLD, str(target)]
    holders = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(2)
    ]
    rooms = [holder.stdout.readline().strip() for holder in holders if holder.stdout]
    assert all((tmp_path / name / "half").exists() for name in rooms)
    holders[0].send_signal(signal.SIGKILL)
    holders[0].wait()
    with working_room(target) as room:
        assert {path.name for path in tmp_path.iterdir()} == {rooms[1], room.name}
    holders[1].communicate()
    holders[0].communicate()
    assert list(tmp_path.iterdir()) == []
