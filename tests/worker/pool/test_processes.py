"""Starts and ends of processes, and what the app learns of them."""

from __future__ import annotations

import fcntl
import os
import signal
import threading

import pytest
from celery import Celery, signals

from tests.worker.pool.live_pool import LivePool, Recorder, in_own_interpreter, sizes
from worker.pool.pipes import PIPE_BYTES

SIGKILL = "signal 9 (SIGKILL)"


@in_own_interpreter
def test_the_app_learns_of_each_fork_and_of_each_process_that_is_up() -> None:
    hooks = Recorder()
    with LivePool(processes=2, hooks=hooks) as live:
        assert hooks.forked == [(0, set()), (1, {0})]
        assert live.pool._pool.num_up == 0

        live.wait_until_up()

        assert {pid for pid, _, _ in hooks.started} == {process.pid for process in live.processes}
        assert [(up, wanted) for _, up, wanted in hooks.started] == [(1, 2), (2, 2)]
        assert (live.pool._pool.idle, live.pool._pool.busy, live.pool._pool.ahead) == (2, 0, 4)
        assert hooks.exits == []


@in_own_interpreter
def test_a_process_that_dies_is_replaced_and_its_requests_run_again() -> None:
    hooks = Recorder()
    with LivePool(processes=2, hooks=hooks) as live:
        live.wait_until_up()
        held, gate = live.hold()
        assert (live.pool._pool.idle, live.pool._pool.busy, live.pool._pool.ahead) == (1, 1, 3)
        (killed,) = [process for process in live.processes if process.pid == held.accepted_by]

        os.kill(killed.pid, signal.SIGKILL)
        live.run_until(lambda: hooks.exits and len(hooks.started) == 3)

        ((exited, alive, wanted),) = hooks.exits
        other = 1 - killed.index
        assert (exited.pid, exited.status, exited.had_started) == (killed.pid, SIGKILL, True)
        assert (exited.was_ordered, exited.is_pool_running) == (False, True)
        assert (alive, wanted) == ({other}, 2)
        assert hooks.forked[2:] == [(killed.index, {other})]
        assert hooks.started[2][1:] == (2, 2)
        gate.touch()
        live.run_until(lambda: held.result)
        assert held.result["pid"] != killed.pid


@in_own_interpreter
def test_a_process_that_is_taken_away_was_ordered_to_end() -> None:
    hooks = Recorder()
    with LivePool(processes=2, hooks=hooks) as live:
        live.wait_until_up()

        live.pool.shrink(1)
        live.run_until(lambda: hooks.exits)

        ((exited, alive, wanted),) = hooks.exits
        assert exited.was_ordered
        assert exited.is_pool_running
        assert (len(alive), wanted) == (1, 1)
        assert live.pool.num_processes == live.pool._pool.num_up == 1


@in_own_interpreter
def test_a_recycled_process_was_ordered_to_end() -> None:
    hooks = Recorder()
    with LivePool(hooks=hooks, maxtasksperchild=1) as live:
        live.wait_until_up()
        sent = live.send()
        live.run_until(lambda: sent.result and hooks.exits)

        ((exited, _, _),) = hooks.exits
        assert exited.was_ordered
        assert exited.had_started


@in_own_interpreter
def test_a_process_that_ends_while_the_pool_shuts_down_is_reported_as_such() -> None:
    hooks = Recorder()
    with LivePool(hooks=hooks) as live:
        held, _ = live.hold()
        live.pool.close()
        os.kill(held.accepted_by or 0, signal.SIGKILL)

        live.pool.stop()

        ((exited, alive, _),) = hooks.exits
        assert (exited.status, exited.is_pool_running) == (SIGKILL, False)
        assert alive == set()


@in_own_interpreter
def test_the_app_may_refuse_more_processes() -> None:
    hooks = Recorder()
    hooks.max_growth = 1
    with LivePool(hooks=hooks) as live:
        live.wait_until_up()

        with pytest.raises(ValueError, match="no core is free"):
            live.pool.grow(2)
        assert live.pool.num_processes == 1

        live.pool.grow(1)
        live.pool.maintain_pool()
        live.wait_until_up()
        assert hooks.grown == [2, 1]
        assert hooks.forked == [(0, set()), (1, {0})]
        assert live.pool.num_processes == 2


@in_own_interpreter
def test_a_first_process_that_does_not_come_up_in_time_is_killed() -> None:
    def load_for_ever(_: Celery) -> None:
        never = threading.Event()
        signals.worker_process_init.connect(lambda **_: never.wait(), weak=False)

    hooks = Recorder()
    with LivePool(hooks=hooks, before_start=load_for_ever, start_limit_s=0.2) as live:
        live.run_until(lambda: hooks.exits)

        exited, _, _ = hooks.exits[0]
        assert (exited.status, exited.had_started) == (SIGKILL, False)
        assert hooks.started == []


@in_own_interpreter
def test_a_pipe_to_a_process_holds_a_batch() -> None:
    with LivePool() as live:
        (process,) = live.processes
        held_bytes = fcntl.fcntl(process.inqW_fd, fcntl.F_GETPIPE_SZ)

        assert live.pool._pool._pipe_bytes == held_bytes
        assert held_bytes == PIPE_BYTES or os.geteuid() != 0


@in_own_interpreter
def test_what_a_busy_processs_pipe_does_not_hold_is_not_written_ahead() -> None:
    with LivePool() as live:
        _, gate = live.hold()
        sent = [live.send(text="x" * PIPE_BYTES) for _ in range(4)]
        live.turn()
        # It is handed over, and waits in billiard's buffer.
        assert live.pool.waiting == 0
        assert len(live.pool._pool.outbound_buffer) == 1

        gate.touch()
        live.run_until(lambda: all(request.result for request in sent))

        assert sizes(sent) == [4] * 4
