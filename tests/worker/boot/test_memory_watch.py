"""The process that is most above its limit is replaced, one at a time, and never because of what it starts with."""

from __future__ import annotations

from collections.abc import Sequence

from worker.boot.memory_watch import MemoryWatch


class Processes:
    """Processes of which the test says how large they are."""

    def __init__(self, **sizes: int) -> None:
        self.sizes = {int(name.removeprefix("p")): size for name, size in sizes.items()}
        self.replaced: list[int] = []
        self.is_changing = False

    @property
    def pids_up(self) -> Sequence[int]:
        return list(self.sizes)

    def replace(self, pid: int) -> None:
        self.replaced.append(pid)
        self.is_changing = True


def watch(processes: Processes, limit: int = 100) -> MemoryWatch:
    made = MemoryWatch(limit, processes.sizes.get)
    made.look(processes)
    return made


def test_the_largest_is_replaced_and_the_next_one_when_that_is_done() -> None:
    processes = Processes(p1=50, p2=50, p3=50)
    watching = watch(processes)
    assert processes.replaced == []

    processes.sizes |= {1: 101, 2: 120, 3: 100}
    watching.look(processes)
    watching.look(processes)
    assert processes.replaced == [2]

    processes.is_changing = False
    del processes.sizes[2]
    processes.sizes[4] = 50
    watching.look(processes)
    assert processes.replaced == [2, 1]


def test_a_limit_below_what_a_process_starts_with_replaces_nothing_until_it_has_grown_by_half() -> None:
    processes = Processes(p1=200)
    watching = watch(processes)
    processes.sizes[1] = 300
    watching.look(processes)
    assert processes.replaced == []

    processes.sizes[1] = 301
    watching.look(processes)
    assert processes.replaced == [1]
