"""Accuracy and speed of a model before and after quantization, on the same rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from models.engine.engine import EngineOptions
from models.evaluation.data_sets import DataSet
from models.evaluation.evaluate import EvaluationReport, answer_in_process, evaluate
from models.progress import is_shown
from models.store import StoredModel
from models.store.manifest import Measurement

__all__ = ["Measurer"]

logger = logging.getLogger(__name__)

_RATE_DIGITS, _ACCURACY_DIGITS = 1, 4


class Measurer:
    """Measures INT8 models against one FP32 model. Nothing is measured twice.

    Args:
        fp32: the model before quantization; None if it is not published.
        data: the labelled files.
        options: how the models are compiled; the precision is f32 and bf16 in turn.
    """

    def __init__(self, fp32: StoredModel | None, data: Sequence[DataSet], options: EngineOptions) -> None:
        self._fp32 = fp32
        self._data = data
        self._options = options
        self._reports: dict[tuple[Path, Path, str], EvaluationReport] = {}

    def measure(self, int8: StoredModel) -> list[Measurement]:
        """Measure a model: one measurement per labelled file."""
        return [self._measure(int8, data) for data in self._data]

    def _measure(self, int8: StoredModel, data: DataSet) -> Measurement:
        reports = {"int8": self._report(int8, data, "f32"), "int8_bf16": self._report_bf16(int8, data)}
        if self._fp32 is not None:
            reports["fp32"] = self._report(self._fp32, data, "f32")
        return Measurement(
            metric=reports["int8"].metric,
            data=data.name,
            rows=len(data.rows),
            rows_per_second={name: round(report.rows_per_second, _RATE_DIGITS) for name, report in reports.items()},
            **{name: round(report.value, _ACCURACY_DIGITS) for name, report in reports.items()},
        )

    def _report_bf16(self, int8: StoredModel, data: DataSet) -> EvaluationReport:
        """With bf16, or with f32 if OpenVINO has no bf16 kernels: on some CPUs, or with ``ONEDNN_MAX_CPU_ISA=AVX2``."""
        try:
            return self._report(int8, data, "bf16")
        except RuntimeError as error:
            logger.info("bf16 is not measured on this CPU: %s", str(error).strip().splitlines()[-1])
            return self._report(int8, data, "f32")

    def _report(self, model: StoredModel, data: DataSet, precision: str) -> EvaluationReport:
        key = (model.directory, data.path, precision)
        if key not in self._reports:
            options = replace(self._options, precision=precision)
            results = answer_in_process(model, data, options)
            self._reports[key] = evaluate(model, data, results, progress=is_shown(), options=options)
        return self._reports[key]
