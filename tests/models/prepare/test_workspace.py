"""Where models are built: nothing half-built stays, and nothing that is served goes missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from models.prepare.swap import swap_directories
from models.prepare.workspace import move_to_target, open_workspace

_HOLD = """
import sys
from pathlib import Path
from models.prepare.workspace import open_workspace
with open_workspace(Path(sys.argv[1])) as workspace:
    (workspace / "half").write_text("made")
    print(workspace.name, flush=True)
    sys.stdin.read()
"""


def make(workspace: Path, content: str) -> Path:
    made = workspace / "made"
    made.mkdir()
    (made / "content").write_text(content)
    return made


def test_what_is_built_is_moved_to_the_target_and_the_workspace_is_deleted(tmp_path: Path) -> None:
    with open_workspace(tmp_path / "models" / "mine") as workspace:
        move_to_target(make(workspace, "new"), tmp_path / "models" / "mine")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["mine"]
    assert (tmp_path / "models" / "mine" / "content").read_text() == "new"


def test_a_workspace_is_deleted_on_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with open_workspace(tmp_path / "mine") as workspace:
            make(workspace, "half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it has no message
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("can_swap", [True, False])
def test_an_existing_target_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_swap: bool) -> None:
    if not can_swap:
        monkeypatch.setattr("models.prepare.workspace.swap_directories", lambda *_: False)
    for content in ("old", "new"):
        with open_workspace(tmp_path / "mine") as workspace:
            move_to_target(make(workspace, content), tmp_path / "mine")
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

    with open_workspace(target) as workspace:
        move_to_target(make(workspace, "first"), target)
    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(200):
        with open_workspace(target) as workspace:
            move_to_target(make(workspace, str(number)), target)
    is_over.set()
    watcher.join()
    assert missing == []


def test_several_that_make_the_same_do_not_disturb_each_other(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    with open_workspace(target) as one, open_workspace(target) as other:
        move_to_target(make(one, "one"), target)
        move_to_target(make(other, "other"), target)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (target / "content").read_text() == "other"


def test_the_workspace_of_a_killed_process_is_deleted_by_the_next_and_that_of_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    target = tmp_path / "mine"
    command = [sys.executable, "-c", _HOLD, str(target)]
    holders = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(2)
    ]
    workspaces = [holder.stdout.readline().strip() for holder in holders if holder.stdout]
    assert all((tmp_path / name / "half").exists() for name in workspaces)
    holders[0].send_signal(signal.SIGKILL)
    holders[0].wait()
    with open_workspace(target) as workspace:
        assert {path.name for path in tmp_path.iterdir()} == {workspaces[1], workspace.name}
    holders[1].communicate()
    holders[0].communicate()
    assert list(tmp_path.iterdir()) == []


def test_directories_are_swapped_in_one_step(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert swap_directories(tmp_path / "one", tmp_path / "other")
    assert (tmp_path / "one" / "other").exists()
    assert not swap_directories(tmp_path / "one", tmp_path / "missing")
