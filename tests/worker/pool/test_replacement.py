"""A process is replaced by another without losing what it computes."""

from __future__ import annotations

import os
import signal

import pytest

from tests.worker.pool.live_pool import LivePool, Recorder, in_own_interpreter


@in_own_interpreter
def test_a_process_finishes_its_jobs_before_another_takes_its_place() -> None:
    hooks = Recorder()
    with LivePool(processes=2, hooks=hooks) as live:
        live.wait_until_up()
        processes = live.pool.processes
        held, gate = live.hold()
        (leaving,) = [process for process in live.processes if process.pid == held.accepted_by]
        assert processes.pids_up[1] == leaving.pid, "the one without a job comes first"
        was_changing = processes.is_changing
        assert not was_changing

        processes.replace(leaving.pid)
        others = [live.send(key=key) for key in range(6)]
        live.run_until(lambda: all(other.result for other in others))

        assert leaving.pid not in {other.result["pid"] for other in others}
        assert leaving.pid not in processes.pids_up
        assert processes.is_changing
        assert hooks.exits == []

        gate.touch()
        live.run_until(lambda: held.result and not processes.is_changing)

        assert held.result["pid"] == leaving.pid
        ((exited, alive, wanted),) = hooks.exits
        assert (exited.pid, exited.was_ordered, exited.is_pool_running) == (leaving.pid, True, True)
        assert (alive, wanted) == ({1 - leaving.index}, 2)
        assert hooks.forked[2:] == [(leaving.index, {1 - leaving.index})]
        assert leaving.pid not in processes.pids_up
        assert len(processes.pids_up) == 2


@in_own_interpreter
def test_requests_wait_for_the_successor_of_the_only_process() -> None:
    with LivePool() as live:
        live.wait_until_up()
        (old,) = live.pool.processes.pids_up

        live.pool.processes.replace(old)
        live.pool.processes.replace(old)
        sent = [live.send(key=key) for key in range(3)]
        live.run_until(lambda: all(request.result for request in sent))

        (new,) = live.pool.processes.pids_up
        assert new != old
        assert {request.result["pid"] for request in sent} == {new}
        with pytest.raises(ValueError, match=f"no process with pid {old} is up"):
            live.pool.processes.replace(old)


@in_own_interpreter
def test_a_process_that_dies_while_it_is_replaced_is_replaced_once() -> None:
    hooks = Recorder()
    with LivePool(hooks=hooks) as live:
        live.wait_until_up()
        held, gate = live.hold()
        old = held.accepted_by or 0

        live.pool.processes.replace(old)
        os.kill(old, signal.SIGKILL)
        gate.touch()
        live.run_until(lambda: held.result and not live.pool.processes.is_changing)

        assert held.result["pid"] != old
        assert [exited.was_ordered for exited, _, _ in hooks.exits] == [False]
        assert [pid for pid, _, _ in hooks.started] == [old, *live.pool.processes.pids_up]
