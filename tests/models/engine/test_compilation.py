"""Which products of the compiled graph run in which type, for each choice; and how the choice is made and kept."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import pytest

from models.engine import compilation as compilation_module
from models.engine.arithmetic import Arithmetic, has_bf16_products, has_int8_products
from models.engine.compilation import ModelFile, compile_for_this_cpu
from models.engine.dequantize import dequantize
from models.engine.engine import Engine, TokenSequence
from models.engine.openvino_core import shared_core
from models.engine.race import Winner, race
from models.engine.verdict import Verdict, VerdictFile, verdicts_of
from models.store import MODEL_NAME, StoredModel
from models.store.graph_quantization import ActivationQuantization, quantization_of
from tests.models.engine import products
from tests.models.engine.products import ATTENTION, LINEAR, QUANTIZERS, products_of
from tests.models.options import engine_options

F32, BF16, INT8 = Arithmetic.F32, Arithmetic.BF16, Arithmetic.INT8
AUTO = None
LONGEST = 512
SEQUENCES = [TokenSequence([101, *range(2000, 2000 + size), 102], [0] * (size + 2)) for size in (1, 5, 30, 200)]
#: Largest difference of a logit from the FP32 arithmetic with the same weights, of logits between -5 and 5.
TOLERANCE = {INT8: 1.0, F32: 1e-3, BF16: 0.1}
needs_int8 = pytest.mark.skipif(not has_int8_products(), reason="this CPU has no instructions for INT8")
needs_bf16 = pytest.mark.skipif(not has_bf16_products(), reason="this CPU has no bf16")


def file_of(model: StoredModel, **facts: Any) -> ModelFile:
    return ModelFile(model.directory / MODEL_NAME, LONGEST, revision=model.manifest.revision, **facts)


def json_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.arithmetic.json"))


def limited(model: StoredModel, setting: str, *cache_dir: Path, isa: str = "AVX2") -> dict[str, Any]:
    """What a process compiles on this CPU without the instructions beyond a limit."""
    done = subprocess.run(
        [sys.executable, "-m", products.__name__, str(model.directory / MODEL_NAME), setting, *map(str, cache_dir)],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": isa},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def logits(engine: Engine, sequences: Sequence[TokenSequence] = SEQUENCES) -> npt.NDArray[np.float32]:
    return np.array([outputs[0] for outputs in engine.compute(sequences)])


@pytest.mark.parametrize(("name", "layers"), [("sentiment", 38), ("nli", 38), ("qa", 37)])
@pytest.mark.parametrize(
    "arithmetic", [pytest.param(INT8, marks=needs_int8), F32, pytest.param(BF16, marks=needs_bf16)]
)
def test_all_products_run_in_the_arithmetic_that_was_asked_for(
    request: pytest.FixtureRequest, name: str, layers: int, arithmetic: Arithmetic
) -> None:
    file = file_of(request.getfixturevalue(name))
    compilation = compile_for_this_cpu(file, engine_options(arithmetic=arithmetic))
    found = products_of(compilation, file.path)
    assert compilation.arithmetic == arithmetic
    if arithmetic is INT8:
        # The last product of a head has two or three results, and stays as it is.
        assert found[LINEAR] == {INT8: layers - 1, F32: 1}
        assert found[ATTENTION] == {F32 if name == "nli" else INT8: 6}
    else:
        assert found[LINEAR] == {arithmetic: layers}
        assert found[ATTENTION] == {arithmetic: 6}
        assert found[QUANTIZERS] == {}


def test_on_a_cpu_without_vnni_the_same_holds(sentiment: StoredModel) -> None:
    in_f32 = {"arithmetic": F32, LINEAR: {F32: 38}, ATTENTION: {F32: 6}, QUANTIZERS: {}}
    assert limited(sentiment, "f32") == in_f32
    in_int8 = limited(sentiment, "int8")
    assert (in_int8["arithmetic"], in_int8[LINEAR]) == (INT8, {INT8: 37, F32: 1})
    # Nothing is kept, so nothing is measured.
    assert limited(sentiment, "auto") == in_f32


def test_a_model_with_dynamic_inputs_is_computed_in_f32_there_whatever_is_asked_for(nli: StoredModel) -> None:
    for setting in ("auto", "int8", "f32"):
        found = limited(nli, setting)
        assert (found["arithmetic"], found[LINEAR], found[ATTENTION]) == (F32, {F32: 38}, {F32: 6}), setting


@needs_int8
def test_without_a_place_for_the_outcome_the_instructions_of_the_cpu_decide(sentiment: StoredModel) -> None:
    compilation = compile_for_this_cpu(file_of(sentiment), engine_options(arithmetic=AUTO))
    assert compilation.arithmetic == INT8


@pytest.mark.parametrize(("flags", "expected"), [("avx2", F32), ("avx2 avx512_vnni", INT8), ("avx2 avx_vnni", INT8)])
def test_a_cache_that_cannot_be_written_is_done_without(
    sentiment: StoredModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    flags: str,
    expected: Arithmetic,
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n\n")
    monkeypatch.setattr("models.engine.cpu._CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    (tmp_path / "cache").write_text("a file where the directory should be")
    options = engine_options(arithmetic=AUTO, cache_dir=tmp_path / "cache")
    assert compile_for_this_cpu(file_of(sentiment), options).arithmetic == expected
    assert "the choice of arithmetic cannot be kept" in caplog.text


@pytest.fixture(scope="module")
def measured(sentiment: StoredModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the choice for the classifier has been measured."""
    directory = tmp_path_factory.mktemp("measured")
    compile_for_this_cpu(file_of(sentiment), engine_options(arithmetic=AUTO, cache_dir=directory))
    return directory


def test_the_first_start_measures_and_keeps_times_and_compiled_model(sentiment: StoredModel, measured: Path) -> None:
    (verdict,) = verdicts_of(measured, sentiment.manifest.revision)
    assert verdict.milliseconds.keys() == {F32, INT8}
    for times in verdict.milliseconds.values():
        assert times.keys() == {"1x16", "1x64", "4x32"}
        assert all(time > 0 for time in times.values())
    assert (verdict.threads, verdict.openvino) == (1, ov.get_version())
    assert verdict.is_for_this_cpu()
    assert len(list(measured.glob("*.blob"))) == 1
    assert verdict == Verdict.here(verdict.arithmetic, verdict.milliseconds, 1, ov.get_version())


@pytest.mark.parametrize("arithmetic", [INT8, F32])
def test_the_next_start_takes_the_verdict_as_it_is(
    sentiment: StoredModel, measured: Path, tmp_path: Path, arithmetic: Arithmetic
) -> None:
    (kept,) = json_files(measured)
    (verdict,) = verdicts_of(measured, sentiment.manifest.revision)
    file = VerdictFile(tmp_path / kept.name)
    file.write(replace(verdict, arithmetic=arithmetic))
    written = file.path.stat().st_ino
    options = engine_options(arithmetic=AUTO, cache_dir=tmp_path)
    compilation = compile_for_this_cpu(file_of(sentiment), options)
    assert compilation.arithmetic == arithmetic
    assert products_of(compilation, file_of(sentiment).path)[LINEAR] == (
        {INT8: 37, F32: 1} if arithmetic is INT8 else {F32: 38}
    )
    assert file.path.stat().st_ino == written


@pytest.mark.parametrize("arithmetic", [INT8, F32])
def test_a_setting_overrules_what_was_measured(
    sentiment: StoredModel, measured: Path, tmp_path: Path, arithmetic: Arithmetic
) -> None:
    other = {INT8: F32, F32: INT8}[arithmetic]
    (kept,) = json_files(measured)
    (verdict,) = verdicts_of(measured, sentiment.manifest.revision)
    VerdictFile(tmp_path / kept.name).write(replace(verdict, arithmetic=other))
    options = engine_options(arithmetic=arithmetic, cache_dir=tmp_path)
    assert compile_for_this_cpu(file_of(sentiment), options).arithmetic == arithmetic
    assert [path.name for path in json_files(tmp_path)] == [kept.name]


def test_the_verdict_of_another_cpu_is_not_used(sentiment: StoredModel, measured: Path, tmp_path: Path) -> None:
    (kept,) = json_files(measured)
    (verdict,) = verdicts_of(measured, sentiment.manifest.revision)
    VerdictFile(tmp_path / kept.name.replace(sentiment.manifest.revision, products.REVISION)).write(verdict)
    # AVX2 alone is another type of CPU, with a verdict of its own: which one depends on its speed.
    found = limited(sentiment, "auto", tmp_path)
    by_place = {verdict.is_for_this_cpu(): verdict for verdict in verdicts_of(tmp_path, products.REVISION)}
    assert by_place.keys() == {True, False}
    assert by_place[True] == verdict
    assert found["arithmetic"] == by_place[False].arithmetic
    assert found[LINEAR] == {by_place[False].arithmetic: 38}


def test_processes_that_start_together_agree(sentiment: StoredModel, tmp_path: Path) -> None:
    command = [sys.executable, "-m", products.__name__, str(file_of(sentiment).path), "auto", str(tmp_path)]
    several = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    outputs = [process.communicate()[0] for process in several]
    (verdict,) = verdicts_of(tmp_path, products.REVISION)
    assert [json.loads(output)["arithmetic"] for output in outputs] == [verdict.arithmetic] * 3
    assert len(json_files(tmp_path)) == len(list(tmp_path.glob("*.blob"))) == 1


def test_a_process_that_measures_for_too_long_is_not_waited_for(
    sentiment: StoredModel, measured: Path, tmp_path: Path
) -> None:
    (kept,) = json_files(measured)
    options = engine_options(arithmetic=AUTO, cache_dir=tmp_path, measure_until_s=time.monotonic() + 0.1)
    with VerdictFile(tmp_path / kept.name).locked(wait_s=1.0):
        arithmetic = compile_for_this_cpu(file_of(sentiment), options).arithmetic
    assert arithmetic == (INT8 if has_int8_products() else F32)
    assert json_files(tmp_path) == []


def test_a_start_that_takes_too_long_measures_nothing_and_keeps_no_verdict(
    sentiment: StoredModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = engine_options(arithmetic=AUTO, cache_dir=tmp_path, measure_until_s=time.monotonic() - 1)
    likely = INT8 if has_int8_products() else F32
    assert compile_for_this_cpu(file_of(sentiment), options).arithmetic == likely
    assert "the CPU's instructions decide" in caplog.text
    assert json_files(tmp_path) == []

    # A start with more time measures after all.
    chosen = compile_for_this_cpu(file_of(sentiment), replace(options, measure_until_s=math.inf)).arithmetic
    (verdict,) = verdicts_of(tmp_path, sentiment.manifest.revision)
    assert verdict.arithmetic == chosen


@pytest.mark.parametrize("flags", ["avx2", "avx2 avx512_vnni"])
def test_what_was_compiled_before_the_time_was_over_is_kept_if_it_is_used(
    sentiment: StoredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n\n")
    monkeypatch.setattr("models.engine.cpu._CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    dequantized: list[Arithmetic] = []

    def race_without_time(candidates: Any, compile_candidate: Any, time_candidates: Any, _: float) -> Winner[Any]:
        # As if the time were over once the first candidate is compiled.
        return race(candidates, compile_candidate, time_candidates, -math.inf)

    def count(graph: ov.Model, arithmetic: Arithmetic) -> None:
        dequantized.append(arithmetic)
        dequantize(graph, arithmetic)

    monkeypatch.setattr(compilation_module, "race", race_without_time)
    monkeypatch.setattr("models.engine.dequantize.dequantize", count)
    options = engine_options(arithmetic=AUTO, cache_dir=tmp_path / "cache")
    assert compile_for_this_cpu(file_of(sentiment), options).arithmetic == (INT8 if "vnni" in flags else F32)
    assert dequantized == [F32]
    assert json_files(tmp_path / "cache") == []
    assert len(list((tmp_path / "cache").glob("*.blob"))) == 1


@pytest.mark.parametrize("allows_bf16", [True, False])
def test_bf16_is_measured_only_if_the_cpu_has_it_and_its_accuracy_is_known(
    sentiment: StoredModel, tmp_path: Path, allows_bf16: bool
) -> None:
    options = engine_options(arithmetic=AUTO, cache_dir=tmp_path)
    compile_for_this_cpu(file_of(sentiment, allows_bf16=allows_bf16), options)
    (verdict,) = verdicts_of(tmp_path, sentiment.manifest.revision)
    assert (BF16 in verdict.milliseconds) == (allows_bf16 and has_bf16_products())


@pytest.fixture
def weights_only(sentiment: StoredModel, tmp_path: Path) -> Path:
    """The classifier without the quantization of its activations, as a file."""
    path = tmp_path / "weights" / MODEL_NAME
    graph = shared_core().read_model(sentiment.directory / MODEL_NAME)
    dequantize(graph, F32)
    graph.set_rt_info(0, ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"])
    path.parent.mkdir()
    ov.save_model(graph, path, compress_to_fp16=False)
    return path


@pytest.mark.parametrize("arithmetic", [AUTO, INT8, F32])
def test_a_model_whose_activations_are_not_quantized_has_nothing_to_choose(
    weights_only: Path, tmp_path: Path, arithmetic: Arithmetic | None
) -> None:
    assert quantization_of(weights_only) is ActivationQuantization.NONE
    options = engine_options(arithmetic=arithmetic, cache_dir=tmp_path / "cache")
    file = ModelFile(weights_only, LONGEST, revision="a", allows_bf16=True)
    assert compile_for_this_cpu(file, options).arithmetic == F32
    assert json_files(tmp_path / "cache") == []


@needs_bf16
@pytest.mark.parametrize(
    ("arithmetic", "precision", "expected"),
    [(INT8, "bf16", BF16), (AUTO, "bf16", BF16), (BF16, "f32", BF16), (F32, "bf16", F32)],
)
def test_its_products_run_in_the_precision_of_the_rest_unless_the_setting_names_another(
    weights_only: Path, arithmetic: Arithmetic | None, precision: str, expected: Arithmetic
) -> None:
    options = engine_options(arithmetic=arithmetic, precision=precision)
    compilation = compile_for_this_cpu(ModelFile(weights_only, LONGEST), options)
    assert compilation.arithmetic == expected
    assert products_of(compilation, weights_only)[LINEAR] == {expected: 38}


def test_a_graph_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="cannot be read"):
        compile_for_this_cpu(ModelFile(tmp_path / MODEL_NAME, LONGEST), engine_options())


@pytest.mark.parametrize("arithmetic", [INT8, F32, pytest.param(BF16, marks=needs_bf16)])
def test_answers_differ_by_no_more_than_rounding_and_do_not_depend_on_the_cache(
    sentiment: StoredModel, tmp_path: Path, arithmetic: Arithmetic
) -> None:
    path = sentiment.directory / MODEL_NAME
    exact = logits(Engine(path, LONGEST, engine_options(arithmetic=F32)))
    without = logits(Engine(path, LONGEST, engine_options(arithmetic=arithmetic)))
    assert np.abs(without - exact).max() < TOLERANCE[arithmetic]
    assert (arithmetic is F32) == np.array_equal(without, exact)
    for _ in range(2):
        options = engine_options(arithmetic=arithmetic, cache_dir=tmp_path)
        cached = Engine(path, LONGEST, options, revision=sentiment.manifest.revision)
        assert cached.arithmetic == arithmetic
        assert np.array_equal(logits(cached), without)
    assert len(list(tmp_path.glob("*.blob"))) == 1


def test_each_arithmetic_has_a_compiled_file_of_its_own(sentiment: StoredModel, tmp_path: Path) -> None:
    for arithmetic in (INT8, F32):
        compile_for_this_cpu(file_of(sentiment), engine_options(arithmetic=arithmetic, cache_dir=tmp_path))
    assert len(list(tmp_path.glob("*.blob"))) == 2


def test_sparse_weights_stay_compressed_for_int8_alone(sentiment: StoredModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.engine.compilation.runs_sparse_weights", lambda: True)
    for arithmetic, rate in ((INT8, 0.5), (F32, 1.0)):
        options = engine_options(arithmetic=arithmetic)
        engine = Engine(sentiment.directory / MODEL_NAME, LONGEST, options, zero_weights=0.8)
        assert engine.sparse_rate == rate
