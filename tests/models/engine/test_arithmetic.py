"""What is said of a CPU's instructions, and what follows from it where nothing is measured."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from models.engine.arithmetic import (
    Arithmetic,
    has_bf16_products,
    has_int8_products,
    likely_fastest,
    wanted_arithmetic,
)
from models.engine.cpu import cpu_digest

BOTH = [Arithmetic.F32, Arithmetic.INT8]


@pytest.fixture(autouse=True)
def _without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def pretend(monkeypatch: pytest.MonkeyPatch, directory: Path, lines: str) -> None:
    """Have another CPU."""
    info = directory / "cpuinfo"
    info.write_text(f"processor\t: 0\n{lines}\n\nprocessor\t: 1\n")
    monkeypatch.setattr("models.engine.cpu._CPUINFO", info)


@pytest.mark.parametrize(
    ("flags", "limit", "int8", "bf16"),
    [
        ("avx2", "", False, False),
        ("avx2 avx512f", "", False, False),
        ("avx2 avx_vnni", "", True, False),
        ("avx2 avx512f avx512_vnni", "", True, False),
        ("avx2 avx512f avx512_vnni avx512_bf16", "", True, True),
        ("avx2 amx_int8 amx_bf16", "", True, True),
        ("avx2 avx512_vnni avx512_bf16", "AVX2", False, False),
        ("avx2 avx512_vnni avx512_bf16", "avx2", False, False),
        ("avx2 avx512_vnni avx512_bf16", "AVX2_VNNI", False, False),
        ("avx2 avx_vnni avx512_vnni avx512_bf16", "AVX2_VNNI", True, False),
        ("avx2 avx512_vnni avx512_bf16", "AVX512_CORE", False, False),
        ("avx2 avx512_vnni avx512_bf16", "AVX512_CORE_VNNI", True, False),
        ("avx2 avx512_vnni avx512_bf16 amx_int8 amx_bf16", "AVX512_CORE_BF16", True, True),
        ("avx2 avx512_vnni avx512_bf16", "ALL", True, True),
    ],
)
def test_the_instructions_of_a_cpu_are_its_flags_as_far_as_onednn_may_use_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, limit: str, int8: bool, bf16: bool
) -> None:
    pretend(monkeypatch, tmp_path, f"flags\t\t: {flags}")
    if limit:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert (has_int8_products(), has_bf16_products()) == (int8, bf16)
    assert likely_fastest(BOTH) == (Arithmetic.INT8 if int8 else Arithmetic.F32)


@pytest.mark.parametrize(("features", "bf16"), [("asimd asimddp i8mm", False), ("asimd asimddp i8mm bf16", True)])
def test_on_arm_floating_point_is_assumed_to_be_faster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, features: str, bf16: bool
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    pretend(monkeypatch, tmp_path, f"Features\t: {features}")
    assert has_bf16_products() == bf16
    assert likely_fastest(BOTH) == Arithmetic.F32


def test_where_linux_says_nothing_floating_point_is_assumed_to_be_faster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("models.engine.cpu._CPUINFO", tmp_path / "none")
    assert likely_fastest(BOTH) == Arithmetic.F32
    assert not has_bf16_products()


@pytest.mark.parametrize(
    "lines", ["flags\t\t: avx2", "flags\t\t: avx2 avx512_vnni", "Features\t: asimd", "CPU part\t: 1"]
)
def test_types_of_cpu_are_told_apart_by_their_instructions_and_the_limit_on_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: str
) -> None:
    real = cpu_digest()
    pretend(monkeypatch, tmp_path, lines)
    pretended = cpu_digest()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert len({real, pretended, cpu_digest()}) == 3
    pretend(monkeypatch, tmp_path, f"{lines}\ncpu MHz\t\t: 2000\ncore id\t\t: 7")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    assert cpu_digest() == pretended


def test_the_setting_names_an_arithmetic_or_none() -> None:
    assert wanted_arithmetic("auto") is None
    assert [wanted_arithmetic(name) for name in ("int8", "f32", "bf16")] == list(Arithmetic)
