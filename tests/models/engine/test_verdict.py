"""The choice of the fastest arithmetic, and the file that keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.engine.arithmetic import Arithmetic
from models.engine.cpu import cpu_name
from models.engine.verdict import Verdict, VerdictFile, verdict_file, verdicts_of

F32, BF16, INT8 = Arithmetic.F32, Arithmetic.BF16, Arithmetic.INT8


def judged(arithmetic: Arithmetic = INT8) -> Verdict:
    """A verdict on this CPU."""
    times = {INT8: {"1x16": 4.0, "4x32": 4.0}, F32: {"1x16": 8.0, "4x32": 18.0}}
    return Verdict.here(arithmetic, times, threads=1, openvino="1")


def test_a_verdict_says_what_was_measured_and_where() -> None:
    text = str(judged())
    assert text == f"int8 (f32 12.0 ms, int8 4.0 ms; {cpu_name()}, 1 thread(s))"


def test_a_verdict_is_measured_once(tmp_path: Path) -> None:
    file = VerdictFile(tmp_path / "a-1.arithmetic.json")
    first = file.read_or_measure(judged)
    assert first == file.read_or_measure(lambda: pytest.fail("measured again")) == file.read()
    assert first is not None
    assert first.is_for_this_cpu()
    assert {path.name for path in tmp_path.iterdir()} == {"a-1.arithmetic.json", "a-1.arithmetic.lock"}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"arithmetic": "int4", "milliseconds": {}}', '{"milliseconds": [1]}']
)
def test_a_damaged_file_is_replaced(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    file = VerdictFile(tmp_path / "a-1.arithmetic.json")
    file.path.write_text(content)
    assert file.read() is None
    assert "is damaged" in caplog.text
    verdict = file.read_or_measure(judged)
    assert file.read() == verdict is not None


def test_a_field_that_is_missing_or_new_makes_another_version_of_the_file(tmp_path: Path) -> None:
    file = VerdictFile(tmp_path / "a-1.arithmetic.json")
    file.write(judged())
    fields = json.loads(file.path.read_text())
    file.path.write_text(json.dumps({**fields, "clock_mhz": 1}))
    assert file.read() is None
    file.path.write_text(json.dumps({name: value for name, value in fields.items() if name != "cpu"}))
    assert file.read() is None


def test_a_verdict_that_cannot_be_kept_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("a file where the directory should be")
    file = VerdictFile(tmp_path / "cache" / "a-1.arithmetic.json")
    assert file.read_or_measure(lambda: pytest.fail("measured in vain")) is None
    assert "cannot be kept" in caplog.text


def test_a_process_that_does_not_get_done_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    file = VerdictFile(tmp_path / "a-1.arithmetic.json")
    with VerdictFile(file.path).locked(wait_s=1.0):
        assert file.read_or_measure(lambda: pytest.fail("measured without the lock"), max_wait_s=0.1) is None


def test_without_time_to_measure_nothing_is_kept(tmp_path: Path) -> None:
    file = VerdictFile(tmp_path / "a-1.arithmetic.json")
    assert file.read_or_measure(lambda: None) is None
    assert not file.path.exists()
    assert file.read_or_measure(judged) == file.read() is not None


def test_another_model_cpu_version_option_or_choice_has_a_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = set()
    for limit in ("AVX2", "AVX512_CORE_VNNI", ""):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
        for revision in ("a", "b"):
            for version in ("1", "2"):
                for threads in (1, 2):
                    for candidates in ([F32, INT8], [F32, BF16, INT8]):
                        file = verdict_file(tmp_path, revision, version, {"threads": threads}, candidates)
                        paths.add(file.path)
    assert len(paths) == 3 * 2 * 2 * 2 * 2
    assert verdict_file(tmp_path, "a", "1", {"threads": 1}, [INT8, F32]).path in paths


def test_all_verdicts_on_a_revision_are_found_those_of_other_cpus_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for revision, limit, arithmetic in (("a", "", INT8), ("a", "AVX2", F32), ("b", "", INT8)):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
        verdict_file(tmp_path, revision, "1", {}, [F32, INT8]).write(judged(arithmetic))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "")
    found = {verdict.is_for_this_cpu(): verdict.arithmetic for verdict in verdicts_of(tmp_path, "a")}
    assert found == {True: INT8, False: F32}
    assert verdicts_of(tmp_path / "nowhere", "a") == []
