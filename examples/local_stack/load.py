"""Requests without a pause, in a thread of their own, and what became of each."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from producer import CeleriacError, Client, TextClassificationRequest

__all__ = ["Load", "LoadAnswer"]

_POLL_S = 0.02


@dataclass(frozen=True)
class LoadAnswer:
    """The answer to one request.

    Attributes:
        label: the best one; empty if the request has failed.
        revision: of the model that gave the answer; empty if the request has failed.
        error: why the request has failed; empty if it has not.
        at_s: when the answer was there, on the monotonic clock.
    """

    label: str = ""
    revision: str = ""
    error: str = ""
    at_s: float = field(default_factory=time.monotonic, compare=False)


class Load:
    """Sends requests until the end of the block, and keeps so many of them on their way.

    Args:
        url: of the server.
        model: the model that the requests name.
        in_flight: how many requests are on their way.
        timeout_s: how long each is waited for.
        text: what each request asks about.
    """

    def __init__(self, url: str, model: str, in_flight: int, timeout_s: float, text: str = "A delight.") -> None:
        self.answers: list[LoadAnswer] = []
        self.sent = 0
        self._url = url
        self._timeout_s = timeout_s
        self._in_flight = in_flight
        self._request = TextClassificationRequest.parse({"inputs": text, "model": model})
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def wait_for_answers(self, count: int) -> None:
        """Wait until so many more requests are answered.

        Raises:
            TimeoutError: they are not answered in time.
        """
        wanted, deadline_s = len(self.answers) + count, time.monotonic() + self._timeout_s
        while len(self.answers) < wanted:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{len(self.answers)} instead of {wanted} answers")
            time.sleep(_POLL_S)

    def _run(self) -> None:
        with Client(self._url, timeout_s=self._timeout_s) as client:
            waiting: deque[str] = deque()
            while waiting or not self._ends.is_set():
                while len(waiting) < self._in_flight and not self._ends.is_set():
                    waiting.append(client.submit(self._request))
                    self.sent += 1
                if waiting:
                    self.answers.append(self._wait(client, waiting.popleft()))

    @staticmethod
    def _wait(client: Client, task_id: str) -> LoadAnswer:
        try:
            answer = client.wait(task_id)
        except CeleriacError as error:
            return LoadAnswer(error=repr(error))
        return LoadAnswer(answer.result[0]["label"], (answer.model or {}).get("revision", ""))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        self._thread.join()
