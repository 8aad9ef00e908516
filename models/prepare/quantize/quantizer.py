"""From an FP32 graph to INT8, by any of the model's recipes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models.engine.engine import TokenSequence
from models.engine.openvino_core import shared_core
from models.errors import PreparationError
from models.prepare.graph.graph_file import write_graph
from models.prepare.quantize.integer_weights import IntegerWeights, round_to_correlations
from models.prepare.quantize.products import ProductGroup, attention_inputs, product_groups, weights_of
from models.prepare.quantize.quantized_graph import QuantizedGraph
from models.prepare.quantize.recipe import QuantizationRecipe, recipes_for
from models.prepare.quantize.scaling import Scaling, scale_for_dynamic, scale_for_static
from models.prepare.quantize.statistics import collect_statistics, logits_of
from models.progress import is_shown
from models.store import CONFIG_NAME, MODEL_NAME

__all__ = ["Quantizer"]

#: A group, and the values of a token that share a step; None if its inputs are static, 0 if they are not quantized.
_Way = tuple[ProductGroup, int | None]
_NO_SCALING = Scaling(None, 0.0)
_SEQUENCES_FOR_HARM = 32


class Quantizer:
    """Quantizes one model by any of its recipes. What recipes have in common is computed once.

    Args:
        fp32: the directory of the FP32 graph.
        sequences: what the model reads for calibration.

    Raises:
        PreparationError: the graph cannot be read or run, or has no product that can be quantized.
    """

    def __init__(self, fp32: Path, sequences: Sequence[TokenSequence]) -> None:
        self._fp32 = fp32
        try:
            model = shared_core().read_model(fp32 / MODEL_NAME)
            self._groups = product_groups(model)
            if not self._groups:
                raise PreparationError("the model has no matrix product that can be quantized")
            self._attention = attention_inputs(model)
            self._statistics = collect_statistics(fp32 / MODEL_NAME, self._groups, self._attention, sequences)
        except RuntimeError as error:
            raise PreparationError(f"the model cannot be quantized: {str(error).strip().splitlines()[-1]}") from error
        nodes = {node.get_friendly_name(): node for node in model.get_ops()}
        self._weights = {
            constant: weights_of(nodes[product])
            for group in self._groups
            for product, constant in zip(group.products, group.constants, strict=True)
        }
        self._scalings: dict[_Way, Scaling] = {}
        self._rounded: dict[_Way, dict[str, IntegerWeights]] = {}
        harm = self._measure_harm(_of_median_length(sequences))
        self._most_hurt = sorted(self._groups, key=harm.__getitem__, reverse=True)
        attention_rank = sum(harm[group] > harm[None] for group in self._groups) if self._attention else None
        self._recipes = recipes_for([group.width for group in self._groups], attention_rank)

    @property
    def recipes(self) -> Sequence[QuantizationRecipe]:
        """All recipes, fastest first. Each is closer to the FP32 model than the one before it."""
        return self._recipes

    def write(self, recipe: QuantizationRecipe, target: Path) -> None:
        """Write the graph of a recipe, and its configuration, into ``target``.

        Args:
            recipe: one of :attr:`recipes`.
            target: an existing directory.

        Raises:
            PreparationError: the graph could not be written completely.
        """
        graph = QuantizedGraph(shared_core().read_model(self._fp32 / MODEL_NAME))
        graph.quantize_embeddings()
        dynamic = set(self._most_hurt[: recipe.dynamic_inputs])
        for group in tqdm(self._groups, desc=f"quantize, {recipe}", unit="input", disable=not is_shown()):
            self._quantize(graph, group, recipe.group_values if group in dynamic else None)
        if recipe.has_int8_attention:
            self._quantize_attention(graph)
        write_graph(graph.finish(recipe.group_values if recipe.dynamic_inputs else 0), target, in_fp16=True)
        shutil.copyfile(self._fp32 / CONFIG_NAME, target / CONFIG_NAME)

    def _measure_harm(self, sequences: Sequence[TokenSequence]) -> dict[ProductGroup | None, float]:
        """How much the logits change if the inputs of one group are static, or attention is INT8, and all else is FP32.

        Returns:
            The mean square of the change by group; for attention by None.
        """
        exact = logits_of(shared_core().read_model(self._fp32 / MODEL_NAME), sequences)
        harm: dict[ProductGroup | None, float] = {}
        parts = [*self._groups, *([None] if self._attention else [])]
        for part in tqdm(parts, desc="find the most sensitive", unit="input", disable=not is_shown()):
            graph = QuantizedGraph(shared_core().read_model(self._fp32 / MODEL_NAME))
            if part is None:
                self._quantize_attention(graph)
            else:
                self._quantize(graph, part, None)
            changed = logits_of(graph.finish(0), sequences)
            harm[part] = sum(float(np.square(a - b).mean()) for a, b in zip(changed, exact, strict=True))
        return harm

    def _quantize_attention(self, graph: QuantizedGraph) -> None:
        for port in self._attention:
            graph.quantize_output(port, self._statistics.largest[port])

    def _quantize(self, graph: QuantizedGraph, group: ProductGroup, group_values: int | None) -> None:
        weights = self._round((group, group_values))
        scaling = self._scale((group, group_values))
        graph.quantize_group(group, scaling, [weights[name] for name in group.constants])

    def _scale(self, way: _Way) -> Scaling:
        if way not in self._scalings:
            group, group_values = way
            inputs = self._statistics.inputs[group]
            weights = [self._weights[name] for name in dict.fromkeys(group.constants)]
            if group_values is None:
                self._scalings[way] = scale_for_static(inputs, weights)
            elif group_values:
                self._scalings[way] = scale_for_dynamic(inputs, weights, group_values)
            else:
                self._scalings[way] = _NO_SCALING
        return self._scalings[way]

    def _round(self, way: _Way) -> dict[str, IntegerWeights]:
        if way not in self._rounded:
            group, group_values = way
            divisors, correlations = self._scale(way).divisors, self._statistics.inputs[group].correlations
            if divisors is not None:
                correlations = correlations / np.outer(divisors, divisors)
            self._rounded[way] = {
                name: round_to_correlations(
                    self._weights[name] if divisors is None else self._weights[name] * divisors,
                    correlations,
                    is_symmetric=group_values is None,
                )
                for name in dict.fromkeys(group.constants)
            }
        return self._rounded[way]


def _of_median_length(sequences: Sequence[TokenSequence]) -> list[TokenSequence]:
    """A few sequences of about the median length, since OpenVINO makes kernels for each length."""
    ordered = sorted(sequences, key=lambda sequence: len(sequence.ids))
    first = max(0, (len(ordered) - _SEQUENCES_FOR_HARM) // 2)
    return ordered[first : first + _SEQUENCES_FOR_HARM]
