"""Where a process's time goes: py-spy looks at its stacks meanwhile, and each sample counts for one part of a table."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Parts", "Recording", "print_table", "record", "shares"]

#: What a part's frames contain, as py-spy writes them: ``function (file:line)``.
Parts = Mapping[str, tuple[str, ...]]

_SAMPLES_A_SECOND = 200
_REST = "the rest"
_OTHER_THREAD = "Thread._bootstrap"


class Recording:
    """A py-spy that looks at one process."""

    def __init__(self, spy: subprocess.Popen[bytes], output: Path) -> None:
        self._spy = spy
        self._output = output

    @property
    def goes_on(self) -> bool:
        """Whether it still looks."""
        return self._spy.poll() is None

    def stacks(self) -> list[str]:
        """The stacks seen, each with its number, once it has ended."""
        if status := self._spy.wait():
            raise SystemExit(f"error: py-spy ended with status {status}; it needs root or the right to trace")
        return self._output.read_text(encoding="utf-8").splitlines()


@contextmanager
def record(pid: int, seconds: int) -> Iterator[Recording]:
    """Look at a process for so long."""
    with tempfile.TemporaryDirectory() as room:
        output = Path(room) / "stacks"
        where = ["-p", str(pid), "-d", str(seconds), "-r", str(_SAMPLES_A_SECOND), "-f", "raw", "-o", str(output)]
        command = [str(Path(sys.executable).parent / "py-spy"), "record", *where]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as spy:  # noqa: S603 - ours
            yield Recording(spy, output)


def shares(stacks: Iterable[str], parts: Parts) -> Counter[str]:
    """Samples of the main thread by part; others wait for work in ways that py-spy takes for working.

    A sample counts for the innermost of its frames that belongs to a part.
    """
    found: Counter[str] = Counter()
    for line in stacks:
        frames, _, count = line.rpartition(" ")
        if _OTHER_THREAD not in frames:
            found[_part_of(frames.split(";"), parts)] += int(count)
    return found


def _part_of(frames: list[str], parts: Parts) -> str:
    for frame in reversed(frames):
        for part, patterns in parts.items():
            if any(pattern in frame for pattern in patterns):
                return part
    return _REST


def print_table(title: str, cost_ms: float, found: Counter[str], each: str) -> None:
    """Print the parts, the largest first, with what they take of ``cost_ms``."""
    print(f"\n{title}: {cost_ms:.2f} ms CPU a {each}\n\n| part | share | ms a {each} |\n| --- | ---: | ---: |")
    for part, samples in found.most_common():
        share = samples / found.total()
        print(f"| {part} | {share:.0%} | {share * cost_ms:.2f} |")
