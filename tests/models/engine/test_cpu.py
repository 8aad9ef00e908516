"""What Linux says about this CPU."""

from __future__ import annotations

from pathlib import Path

from models.engine.cpu import cpu_name, runs_sparse_weights


def test_the_cpu_is_known_by_its_name() -> None:
    assert cpu_name() in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    assert runs_sparse_weights() == (" amx_int8" in Path("/proc/cpuinfo").read_text(encoding="utf-8"))
