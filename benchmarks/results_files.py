"""A run's results as files: JSON for programs, Markdown and plots for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.markdown import report

__all__ = ["write_results"]


def write_results(directory: Path, results: Mapping[str, Any], say: Callable[[str], object]) -> None:
    """Write ``latest.json``, ``latest.md`` and the plots; without matplotlib, ``say`` is told that there are none."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "latest.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    try:
        from benchmarks.plots import draw
    except ImportError as error:
        plots: list[str] = []
        say(f"no plots: {error}")
    else:
        plots = draw(directory, results)
    (directory / "latest.md").write_text(report(results, plots), encoding="utf-8")
