"""``python -m models prepare``: its arguments, and how signals end it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from models.__main__ import main


@pytest.mark.parametrize("name", ["a/b", ".hidden", "a b", "", "x" * 201])
def test_a_name_that_is_no_directory_name_is_wrong_usage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["prepare", "owner/name", "--as", name])
    assert "cannot be the name of a model" in capsys.readouterr().err


def test_a_directory_whose_name_is_none_for_a_model_needs_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my model").mkdir()
    assert main(["prepare", str(tmp_path / "my model")]) == 1
    assert "'my model' cannot be the name of a model" in (error := capsys.readouterr().err)
    assert error.endswith(": choose one with --as NAME\n")


@pytest.mark.parametrize("distance", ["0", "-0.1", "1.001", "nan", "inf", "near"])
def test_a_distance_that_is_out_of_range_is_wrong_usage(distance: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["prepare", "owner/name", f"--max-distance={distance}"])
    error = capsys.readouterr().err
    assert f"argument --max-distance: {distance!r} is not a distance: it must be over 0, and 1 at most" in error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_preparation_as_an_error_does_and_is_everybodys_again_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr("models.prepare.workflow.prepare", lambda _: signal.raise_signal(number))
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended:
        main(["prepare", str(tmp_path), "--as", "mine"])
    assert ended.value.code == 128 + number
    assert signal.getsignal(number) is before
