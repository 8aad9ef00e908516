"""LitServe with the same model: ``python -m benchmarks.contestants.http_server``.

Arguments: the port, the model, the task, its arithmetic, the cores and a directory for claims of cores.

Each worker takes a core of its own and computes batches with the code of the bound, sorted and cut as there.
"""

import os
import sys
from pathlib import Path
from typing import Any

from litserve import LitAPI, LitServer

from models.engine.arithmetic import Arithmetic
from producer.contract import TaskName

#: Tried on the short texts with two workers: 32, 64 and 128 texts; 0, 5, 20 and 50 ms; one and two API servers;
#: ``fast_queue``. They differ by less than the runs do.
MAX_BATCH_SIZE = 64
BATCH_TIMEOUT_S = 0.02


class Answers(LitAPI):
    """An item in, its answer out."""

    def __init__(
        self, model: Path, task: TaskName, arithmetic: Arithmetic, cores: list[int], claims: Path, **options: Any
    ) -> None:
        super().__init__(**options)
        self._what = (model, task, arithmetic)
        self._cores, self._claims = cores, claims
        self._model: Any = None

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Pin this worker before OpenVINO is loaded."""
        os.sched_setaffinity(0, {self._claim()})
        from benchmarks.bare_model import BareModel

        self._model = BareModel(*self._what)

    def decode_request(self, request: dict[str, Any]) -> Any:
        """The item."""
        item = request["item"]
        return tuple(item) if isinstance(item, list) else item

    def batch(self, inputs: list[Any]) -> list[Any]:
        """A list is what the model takes."""
        return inputs

    def predict(self, inputs: list[Any]) -> list[str]:
        """Answer the items of a batch."""
        answers: list[str] = self._model.answer(inputs)
        return answers

    def unbatch(self, output: list[str]) -> list[str]:
        """The answers of the batch."""
        return output

    def encode_response(self, output: str) -> dict[str, str]:
        """The body."""
        return {"answer": output}

    def _claim(self) -> int:
        """A core that no other worker has: a file says so."""
        for core in self._cores:
            try:
                (self._claims / str(core)).touch(exist_ok=False)
            except FileExistsError:
                continue
            return core
        return self._cores[0]


def main() -> int:
    """Serve until told to stop."""
    port, model, task, arithmetic, cores, claims = sys.argv[1:]
    numbers = [int(core) for core in cores.split(",")]
    api = Answers(
        Path(model),
        TaskName(task),
        Arithmetic(arithmetic),
        numbers,
        Path(claims),
        max_batch_size=MAX_BATCH_SIZE,
        batch_timeout=BATCH_TIMEOUT_S,
    )
    server = LitServer(api, accelerator="cpu", workers_per_device=len(numbers), timeout=120)
    server.run(
        host="127.0.0.1",
        port=int(port),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
