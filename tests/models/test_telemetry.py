"""Nothing that uses a model tells anybody about it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from examples.local_stack import PATIENCE_S

# Every report of OpenVINO begins with a fork in a thread.
CONVERT = """
import os
import models.engine.openvino_core
import openvino, torch
from openvino.tools.ovc import telemetry_utils

os.register_at_fork(before=lambda: os._exit(3))
openvino.convert_model(torch.nn.Linear(2, 2), example_input=torch.zeros(1, 2))
print(telemetry_utils.tm.__name__)
"""


@pytest.mark.prepare
def test_a_conversion_reports_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONVERT], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stdout) == (0, "openvino.tools.ovc.telemetry_stub\n"), done.stderr
