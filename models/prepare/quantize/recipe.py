"""How the products of a model are quantized to INT8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

__all__ = ["QuantizationRecipe", "recipes_for"]

#: The CPU plugin sums up groups of activations of such a length; longer groups are faster and less exact.
_LONGEST_GROUP = 512
_GROUP_MULTIPLE = 32
#: If no length suits all products.
_ANY_GROUP = 128
#: How many recipes lie between the one with all inputs static and the one with all inputs dynamic.
_STEPS = 12


@dataclass(frozen=True)
class QuantizationRecipe:
    """One way to quantize a model. Weights are always 8-bit integers.

    The activations that a product reads are quantized in one of two ways. Static: one range for all tokens, known from
    the calibration. Dynamic: by token, as they come.

    Attributes:
        inputs: how many inputs of products the model has; products that share an input count once.
        dynamic_inputs: how many of them are dynamic: those that static quantization hurts most.
        group_values: values of a token that share a step where activations are dynamic; 0 if activations are not
            quantized at all.
        has_int8_attention: whether the products of queries and keys are computed in INT8.
    """

    inputs: int
    dynamic_inputs: int
    group_values: int
    has_int8_attention: bool

    @property
    def quantizes_activations(self) -> bool:
        """Whether products are computed in INT8 at all."""
        return self.group_values > 0

    def __str__(self) -> str:
        if not self.quantizes_activations:
            return "weights alone"
        attention = ", INT8 attention" if self.has_int8_attention else ""
        if not self.dynamic_inputs:
            return f"static{attention}"
        if self.dynamic_inputs < self.inputs:
            return f"static, {self.dynamic_inputs} of {self.inputs} inputs dynamic{attention}"
        return f"dynamic in groups of {self.group_values}{attention}"

    @property
    def facts(self) -> dict[str, str | int | float]:
        """The recipe as the manifest records it."""
        if not self.quantizes_activations:
            return {"method": "INT8 weights, activations not quantized"}
        return {
            "method": "INT8 weights and activations",
            "dynamic_inputs": f"{self.dynamic_inputs} of {self.inputs}",
            **({"group_values": self.group_values} if self.dynamic_inputs else {}),
            "int8_attention": "queries and keys" if self.has_int8_attention else "none",
        }


def recipes_for(widths: Sequence[int], attention_rank: int | None) -> list[QuantizationRecipe]:
    """All recipes for a model, fastest first. Each is closer to the FP32 model than the one before it.

    Args:
        widths: the input channels of each input of its products.
        attention_rank: how many inputs static quantization hurts more than INT8 hurts attention; None if the model has
            no attention operations that OpenVINO computes in INT8.
    """
    count, longest, shorter = len(widths), *_group_lengths(widths)
    parts = count if attention_rank is None else count + 1
    recipes = []
    for step in range(_STEPS + 1):
        closer = round(step * parts / _STEPS)
        has_int8_attention = attention_rank is not None and closer <= attention_rank
        dynamic = closer if has_int8_attention or attention_rank is None else closer - 1
        recipes.append(QuantizationRecipe(count, dynamic, longest, has_int8_attention))
    recipes += [QuantizationRecipe(count, count, group, False) for group in (shorter, 0)]
    return list(dict.fromkeys(recipes))


def _group_lengths(widths: Sequence[int]) -> tuple[int, int]:
    """A long and a shorter group that divide all widths, if there are such."""
    common = gcd(*widths)
    lengths = [n for n in range(_GROUP_MULTIPLE, _LONGEST_GROUP + 1, _GROUP_MULTIPLE) if common % n == 0]
    if not lengths:
        return min(_ANY_GROUP, *widths), min(_ANY_GROUP, *widths)
    longest = lengths[-1]
    return longest, longest // 2 if longest // 2 in lengths else longest
