"""The file beside the output of ``map``: what the run reads and how, and which records each message has.

It is written before a message is sent. After a kill, the next run makes the same messages under the same ids, and so
finds the results of those that were on their way.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from producer.commands.failures import ExitStatus, Failure
from producer.message_log import LoggedMessage

__all__ = ["Journal", "describe_input", "journal_path"]

_HEAD_BYTES = 1 << 20
_VERSION = 1


def journal_path(output: Path) -> Path:
    """Where the journal of an output is."""
    return output.with_name(f"{output.name}.run")


def describe_input(path: str) -> dict[str, Any]:
    """What an input is recognized by: its size, and a digest of its beginning."""
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return {"bytes": size, "head_sha256": hashlib.sha256(file.read(_HEAD_BYTES)).hexdigest()}


@dataclass
class _Contents:
    header: dict[str, Any]
    #: Of each message that may have no outcome: first and last record, number of requests, attempt.
    messages: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    has_ended: bool = False


class Journal:
    """The journal of one run, which only this process writes.

    Attributes:
        run_id: by which this run's messages differ from those of others.
        has_ended: whether every record had its outcome.
        start: the number of the record to begin with.
        sizes: how many requests the first messages have each.

    Args:
        path: where it is; it is made if there is none.
        is_new: whether what it has is forgotten.

    Raises:
        Failure: another process writes it.
    """

    def __init__(self, path: Path, *, is_new: bool) -> None:
        self._path = path
        self._file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise Failure(f"another process writes {path}; wait for it, or end it", ExitStatus.WRONG_USAGE) from None
        if is_new:
            self._file.truncate(0)
        self.run_id = ""
        self.has_ended = False
        self.start = 0
        self.sizes: tuple[int, ...] = ()
        self._known: dict[str, bool] = {}

    def begin(self, run: Mapping[str, Any], written: int) -> None:
        """Read what an earlier run has left.

        Args:
            run: what this run reads and how.
            written: how many outcomes are written.

        Raises:
            Failure: the journal is that of another run, or no journal.
        """
        contents = self._read(written) or self._head(run)
        self._check(contents.header["run"], run)
        self.run_id = contents.header["run_id"]
        self.has_ended = contents.has_ended
        self._known = {request_id: request_id in contents.sent for request_id in contents.messages}
        whole: list[tuple[int, int]] = []
        for first, last, count, _ in contents.messages.values():
            # What failed together was sent again in parts, which lie in the message before.
            if not whole or first > whole[-1][0]:
                whole.append((last, count))
        self.sizes = tuple(count for _, count in whole)
        self.start = min([written, *(first for first, *_ in contents.messages.values())])

    def enter(self, first: int, last: int, count: int, attempt: int) -> LoggedMessage:
        """A message is about to be sent.

        Args:
            first: the number of its first record.
            last: the number of its last record; those between that cannot be sent are not in it.
            count: how many requests it has.
            attempt: see :meth:`producer.message_log.MessageLog.enter`.
        """
        request_id = _id_of(self.run_id, first, count, attempt)
        if request_id in self._known:
            return LoggedMessage(request_id, may_be_sent=True, is_unsure=not self._known[request_id])
        self._append([first, last, count, attempt])
        return LoggedMessage(request_id)

    def sent(self, request_id: str) -> None:
        """The broker has a message."""
        self._append(request_id)

    def end(self) -> None:
        """Every record has its outcome. The messages are forgotten."""
        self._append({"has_ended": True})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _read(self, written: int) -> _Contents | None:
        """What is in the file; None if it is empty. A last line that is not whole is cut off."""
        contents: _Contents | None = None
        whole_bytes = 0
        with os.fdopen(os.dup(self._file.fileno()), "rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                whole_bytes += len(line)
                try:
                    entry = json.loads(line)
                    if contents is None:
                        contents = _Contents({"run": entry["run"], "run_id": entry["run_id"]})
                    elif isinstance(entry, dict):
                        contents.has_ended = True
                    elif isinstance(entry, str):
                        if entry in contents.messages:
                            contents.sent.add(entry)
                    elif entry[1] >= written:
                        first, last, count, attempt = entry
                        request_id = _id_of(contents.header["run_id"], first, count, attempt)
                        contents.messages[request_id] = first, last, count, attempt
                except (ValueError, KeyError, TypeError, IndexError):
                    raise Failure(
                        f"{self._path} is not the journal of a map; remove it, or give another --output",
                        ExitStatus.WRONG_USAGE,
                    ) from None
        self._file.truncate(whole_bytes)
        self._file.seek(whole_bytes)
        return contents

    def _head(self, run: Mapping[str, Any]) -> _Contents:
        header = {"version": _VERSION, "run_id": secrets.token_hex(8), "run": dict(run)}
        self._append(header)
        return _Contents(header)

    def _check(self, known: Mapping[str, Any], run: Mapping[str, Any]) -> None:
        differing = [name for name in {**known, **run} if known.get(name) != run.get(name)]
        if differing:
            raise Failure(
                f"the output was made from something else: {', '.join(differing)} differ from what {self._path} says; "
                "give the same input and options, or another --output",
                ExitStatus.WRONG_USAGE,
            )

    def _append(self, entry: object) -> None:
        self._file.write(json.dumps(entry).encode() + b"\n")


def _id_of(run_id: str, first: int, count: int, attempt: int) -> str:
    digest = hashlib.sha256(f"{run_id} {first} {count} {attempt}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))
