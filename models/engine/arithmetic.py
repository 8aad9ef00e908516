"""In which type matrix products are computed, and what this CPU has instructions for."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from enum import StrEnum

from models.engine.cpu import cpu_flags, max_isa

__all__ = [
    "CLOSEST_FIRST",
    "Arithmetic",
    "has_bf16_products",
    "has_int8_products",
    "int8_properties",
    "likely_fastest",
    "wanted_arithmetic",
]


class Arithmetic(StrEnum):
    """The type in which a model's matrix products are computed."""

    #: Weights and activations are 8-bit integers, as the model was quantized.
    INT8 = "int8"
    #: The INT8 weights are multiplied with activations that are not quantized, in 32 bits.
    F32 = "f32"
    #: The same in bfloat16.
    BF16 = "bf16"


#: What the setting calls the choice of the fastest.
_AUTO = "auto"
#: By how close the answers are to those of the model before quantization.
CLOSEST_FIRST = (Arithmetic.F32, Arithmetic.BF16, Arithmetic.INT8)

#: oneDNN's limits on the instructions that it uses (``ONEDNN_MAX_CPU_ISA``), and which of ours they leave. Any other
#: value leaves all of them.
_ISA_LIMITS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("SSE41", "AVX", "AVX2", "AVX512_CORE"), frozenset()),
    "AVX2_VNNI": frozenset({"avx_vnni"}),
    "AVX2_VNNI_2": frozenset({"avx_vnni", "avx_ne_convert"}),
    "AVX512_CORE_VNNI": frozenset({"avx512_vnni"}),
    "AVX512_CORE_BF16": frozenset({"avx512_vnni", "avx512_bf16"}),
    "AVX512_CORE_FP16": frozenset({"avx512_vnni", "avx512_bf16", "avx_vnni", "avx_ne_convert"}),
}
_INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
_BF16_FLAGS = frozenset({"avx512_bf16", "avx_ne_convert", "amx_bf16"})
_ARM_MACHINES = frozenset({"aarch64", "arm64"})
_ARM_BF16_FLAG = "bf16"


def wanted_arithmetic(setting: str) -> Arithmetic | None:
    """The arithmetic that a setting names; None for ``auto``, the fastest on this CPU."""
    return None if setting == _AUTO else Arithmetic(setting)


def has_int8_products() -> bool:
    """Whether this CPU multiplies and sums bytes in one instruction (VNNI, AVX-VNNI, AMX).

    On ARM the answer is no: OpenVINO computes quantized graphs there in simulated floating point.
    """
    return bool(_INT8_FLAGS & _usable_flags())


def has_bf16_products() -> bool:
    """Whether this CPU has instructions for products in bfloat16. OpenVINO emulates them on some that have none."""
    if platform.machine() in _ARM_MACHINES:
        return _ARM_BF16_FLAG in cpu_flags()
    return bool(_BF16_FLAGS & _usable_flags())


def int8_properties() -> dict[str, int]:
    """What OpenVINO must be told to compile a graph in INT8 on this CPU.

    Without INT8 products OpenVINO (2026.4.1) crashes, or computes logits of no rows, where it is to quantize some
    inputs as they come and has ranges for others. So nothing is quantized as it comes there.
    """
    return {} if has_int8_products() else {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}


def likely_fastest(candidates: Sequence[Arithmetic]) -> Arithmetic:
    """The arithmetic to use where nothing can be measured, by what the CPU has instructions for."""
    if Arithmetic.INT8 in candidates and has_int8_products():
        return Arithmetic.INT8
    return min(candidates, key=CLOSEST_FIRST.index)


def _usable_flags() -> frozenset[str]:
    limit = _ISA_LIMITS.get(max_isa())
    return cpu_flags() if limit is None else cpu_flags() & limit
