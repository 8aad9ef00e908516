"""A Valkey server and a Celeriac worker as child processes, for the demo, the tests and the benchmarks."""

from examples.local_stack.ports import free_port
from examples.local_stack.sentinels import MASTER_NAME, LocalSentinels
from examples.local_stack.server import LocalServer
from examples.local_stack.worker import PATIENCE_S, LocalWorker, WorkerStartError

__all__ = ["MASTER_NAME", "PATIENCE_S", "LocalSentinels", "LocalServer", "LocalWorker", "WorkerStartError", "free_port"]
