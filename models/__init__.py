"""From a model's name to its results; independent of Celery and Redis.

Nothing is imported here: a worker's parent process verifies models without loading OpenVINO.
"""

from __future__ import annotations

import sys

# OpenVINO reports every conversion to its maker. It forks a process for each report, which may hang and then stays, as
# large as the process that converts. Where the reporting package cannot be imported, OpenVINO uses a stub of its own.
# `None` is what the import system documents for a module that must not be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
