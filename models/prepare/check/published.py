"""The published model, computing one row at a time without padding: in torch, or as the graph that was published."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification
from transformers.utils import ModelOutput

from models.engine.compilation import ModelFile, compile_for_this_cpu
from models.engine.options import EngineOptions
from models.prepare.check.free_cores import free_cores
from models.prepare.source.checkpoint import Checkpoint
from models.prepare.source.layout import Layout
from producer.contract import TaskName

__all__ = ["PublishedModel", "Row", "compute_by_graph", "compute_by_torch"]

#: With so few, threads wait for each other longer than they compute, most of all beside other work.
_FEW_PARAMETERS = 20_000_000
#: Computes the named outputs of one row, from its named inputs.
Compute = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Row:
    """What the published model read and computed for one sequence.

    Attributes:
        ids: its token ids.
        outputs: its logits, by the name of the output, without the batch axis.
    """

    ids: list[int]
    outputs: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)


class PublishedModel(torch.nn.Module):
    """A model as the pipelines of ``transformers`` call it, which remembers its rows.

    Args:
        config: the published configuration.
        compute: computes one row.
        order: the labels in the order in which the pipeline gets their logits; as they are if None.

    Attributes:
        is_computing: whether outputs are computed; if not, they are zeros, and rows have none.
    """

    def __init__(self, config: Any, compute: Compute, order: Sequence[int] | None = None) -> None:
        super().__init__()
        self.config = config
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self.is_computing = True
        self._compute = compute
        self._order = order
        self._rows: list[Row] = []

    def can_generate(self) -> bool:
        """Whether it writes text, as the pipelines ask."""
        return False

    def take_rows(self) -> list[Row]:
        """The rows since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def forward(self, **inputs: torch.Tensor) -> Any:
        """Compute one row, and remember it."""
        ids: list[int] = inputs["input_ids"][0].tolist()
        if not self.is_computing:
            self._rows.append(Row(ids))
            nothing = torch.zeros(1, len(ids))
            return ModelOutput(logits=torch.zeros(1, self.config.num_labels), start_logits=nothing, end_logits=nothing)
        outputs = self._compute(inputs)
        self._rows.append(Row(ids, {name: value[0].float().numpy() for name, value in outputs.items()}))
        if self._order is not None:
            outputs["logits"] = outputs["logits"][:, list(self._order)]
        return ModelOutput(**outputs)


def compute_by_torch(checkpoint: Checkpoint) -> Compute:
    """The published weights in the classes of ``transformers``.

    Raises:
        Exception: whatever ``transformers`` raises if it cannot read them.
    """
    is_question = checkpoint.task is TaskName.QUESTION_ANSWERING
    auto = AutoModelForQuestionAnswering if is_question else AutoModelForSequenceClassification
    # A pickle is read for tensors alone: the export has refused any that holds more.
    model = auto.from_pretrained(
        checkpoint.directory,
        use_safetensors=checkpoint.layout is not Layout.PICKLE,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
    ).eval()
    is_small = sum(value.numel() for value in model.parameters()) < _FEW_PARAMETERS
    threads = 1 if is_small else free_cores()
    accepted = inspect.signature(model.forward).parameters
    no_cache = {"use_cache": False} if "use_cache" in accepted else {}

    def compute(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        # A tokenizer of another family may give type ids to a model that has none.
        used = {name: value for name, value in inputs.items() if name in accepted}
        with torch.inference_mode(), _threads(threads):
            outputs = model(**used, **no_cache, return_dict=True)
        return {name: value for name, value in outputs.items() if name.endswith("logits")}

    return compute


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compute_by_graph(path: Path, max_length: int, options: EngineOptions) -> Compute:
    """A published graph.

    Args:
        path: the graph.
        max_length: longest sequence that it reads, in tokens.
        options: how it is compiled.

    Raises:
        RuntimeError: OpenVINO cannot compile it.
    """
    compiled = compile_for_this_cpu(ModelFile(path, max_length), options).compiled
    request = compiled.create_infer_request()
    names = [port.any_name for port in compiled.inputs]
    outputs = [port.any_name if port.names else "logits" for port in compiled.outputs]

    def compute(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        zeros = torch.zeros_like(inputs["input_ids"])
        results = request.infer({name: inputs.get(name, zeros).numpy() for name in names})
        found = {name: torch.from_numpy(results[number].copy()) for number, name in enumerate(outputs)}
        logits = {name: value for name, value in found.items() if name.endswith("logits")}
        return logits or {"logits": next(iter(found.values()))}

    return compute
