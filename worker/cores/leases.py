"""Core leases: two workers on one host never compute on the same core.

A lease is a ``flock`` on one file per core, which the kernel releases when its last holder dies. A worker's parent
takes the leases before it forks, so that no other worker can take them in between. Each process inherits all of them,
keeps its own and closes the others. A core is therefore free again once its process is gone and the parent has ended or
released it.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.cores.topology import Core, core_sets

__all__ = ["CoreSet", "LeaseRequest", "Leases", "LeasingError", "take_leases"]

_DIRECTORY_MODE, _FILE_MODE = 0o1777, 0o666


class LeasingError(Exception):
    """No core can be leased. The message names the holders, or says what is wrong with the lease directory."""


@dataclass
class CoreSet:
    """The cores of one process, and their open lease files; a shared set has no files."""

    cores: tuple[int, ...]
    files: tuple[int, ...]

    @property
    def is_shared(self) -> bool:
        """Whether another worker computes on these cores too."""
        return not self.files

    def close(self) -> None:
        """Close our copy of the files; the lease lasts while another process holds one."""
        for file in self.files:
            os.close(file)
        self.files = ()


@dataclass(frozen=True)
class LeaseRequest:
    """What a worker leases its core sets from.

    Attributes:
        directory: the lease directory, made if it does not exist.
        cores: candidates, best first.
        set_size: number of cores per process.
        holder: name of the worker, for the message that another worker shows.
        allow_sharing: use other workers' cores too if not enough are free; no two sets of one worker share a core.
    """

    directory: Path
    cores: Sequence[Core]
    set_size: int
    holder: str
    allow_sharing: bool

    @property
    def most_sets(self) -> int:
        """The number of sets when no other worker holds a core."""
        return len(core_sets(self.cores, self.set_size))


@dataclass
class Leases:
    """The core sets of a worker.

    Attributes:
        sets: one per process, by the index of the process.
        request: the cores from which further sets are leased.
    """

    sets: dict[int, CoreSet]
    request: LeaseRequest

    def grow(self, count: int) -> None:
        """Lease sets for more processes.

        Raises:
            LeasingError: not enough sets are free; then none is leased.
        """
        leased = _lease(self.request, self.sets.values(), count)
        if len(leased) < count:
            for core_set in leased:
                core_set.close()
            held = "; ".join(_holders(self.request.directory, self.request.cores))
            raise LeasingError(f"no cores for {count} more processes; {held}")
        for core_set in leased:
            self.sets[next(index for index in itertools.count() if index not in self.sets)] = core_set

    def assign(self, index: int, alive: Collection[int]) -> None:
        """Give a process that is about to be forked the set of an ended one, unless it has a set already."""
        if index not in self.sets:
            unused = next((other for other in self.sets if other not in alive), None)
            if unused is not None:
                self.sets[index] = self.sets.pop(unused)

    def shrink(self, count: int, alive: Collection[int]) -> None:
        """Release sets that no process uses until ``count`` are left."""
        for index in sorted(set(self.sets).difference(alive), reverse=True)[: max(0, len(self.sets) - count)]:
            self.sets.pop(index).close()

    def keep_only(self, index: int) -> CoreSet:
        """Close the copies of all other leases and return the process's own; in a pool process.

        Raises:
            LeasingError: the worker leased no cores for a process with this index.
        """
        if index not in self.sets:
            raise LeasingError(f"process {index} has no cores: the worker leased {len(self.sets)} sets")
        for other, core_set in self.sets.items():
            if other != index:
                core_set.close()
        return self.sets[index]


def take_leases(request: LeaseRequest, sets: int) -> Leases:
    """Lease up to ``sets`` core sets, fewer if fewer are free.

    Raises:
        LeasingError: no core is free and sharing is not allowed, or the directory cannot be used.
    """
    chosen = _lease(request, (), sets)
    if not chosen:
        raise LeasingError(
            f"no free core: {'; '.join(_holders(request.directory, request.cores))}. Stop one of these workers, "
            "give this one other cores (taskset, cpuset), or set CELERIAC_CORES_ALLOW_SHARING=true to share"
        )
    return Leases(dict(enumerate(chosen)), request)


def _lease(request: LeaseRequest, ours: Collection[CoreSet], sets: int) -> list[CoreSet]:
    """Lease up to ``sets`` sets in addition to ``ours``."""
    try:
        files = _lock_free(request.directory, request.cores, request.holder)
    except OSError as error:
        raise LeasingError(f"the core leases in {request.directory} cannot be used: {error}") from error
    free = [core for core in request.cores if core.number in files]
    chosen = [
        CoreSet(tuple(core.number for core in members), tuple(files.pop(core.number) for core in members))
        for members in core_sets(free, request.set_size)[:sets]
    ]
    for unused in files.values():
        os.close(unused)
    if request.allow_sharing:
        chosen += _share(request.cores, [*ours, *chosen], sets - len(chosen), request.set_size)
    return chosen


def _share(cores: Sequence[Core], ours: Sequence[CoreSet], sets: int, set_size: int) -> list[CoreSet]:
    """Sets without a lease. None contains a core of ``ours``, which would slow down this worker's own processes."""
    taken = {core for core_set in ours for core in core_set.cores}
    sets_left = core_sets([core for core in cores if core.number not in taken], set_size)
    # A single process on too few cores is better than none. Beside others it would only be the slowest.
    shared = [members for members in sets_left if len(members) == set_size or not ours]
    return [CoreSet(tuple(core.number for core in members), ()) for members in shared[:sets]]


def _lock_free(directory: Path, cores: Iterable[Core], holder: str) -> dict[int, int]:
    """Lock the cores that no worker holds; return their open files by core number."""
    if not directory.is_dir():
        directory.mkdir(parents=True, exist_ok=True)
        # Workers of several users share the host's cores. The sticky bit keeps them from removing each other's files.
        with contextlib.suppress(PermissionError):
            directory.chmod(_DIRECTORY_MODE)
    files: dict[int, int] = {}
    for core in cores:
        file = _open(_path(directory, core.number))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps({"worker": holder, "pid": os.getpid()}).encode(), 0)
        files[core.number] = file
    return files


def _open(path: Path) -> int:
    try:
        # First without O_CREAT: in a sticky directory the kernel refuses to "create" a file that another user owns.
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _FILE_MODE)
        with contextlib.suppress(PermissionError):
            os.fchmod(file, _FILE_MODE)
        return file


def _holders(directory: Path, cores: Iterable[Core]) -> list[str]:
    lines = []
    for core in cores:
        try:
            holder = json.loads(_path(directory, core.number).read_bytes())
            lines.append(f"core {core.number} is leased by {holder['worker']} (pid {holder['pid']})")
        except (OSError, ValueError, KeyError):
            lines.append(f"core {core.number} is leased by a worker that is just starting")
    return lines


def _path(directory: Path, core: int) -> Path:
    return directory / f"core-{core}.lease"
