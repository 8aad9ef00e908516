"""Reports of pool processes on one pipe."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from examples.local_stack import PATIENCE_S
from worker.boot.start_reports import StartReport, StartReports

READY = StartReport(pid=1, index=0, cores=(0, 1), seconds=0.25, cause=None, arithmetic={"sentiment": "int8"})
FAILED = StartReport(pid=2, index=1, cores=(), seconds=0.0, cause="RuntimeError: no model")
#: A pool process: has the pipe's write end from its parent, and sends many reports.
PROCESS = """
import sys
from worker.boot.start_reports import StartReport, StartReports
reports = StartReports()
reports._write_end = int(sys.argv[1])
for number in range(50):
    reports.send(StartReport(int(sys.argv[2]), number, (number,), 0.5, "x" * number))
"""


@pytest.fixture
def reports() -> Iterator[StartReports]:
    """A pipe of the test's own."""
    made = StartReports()
    yield made
    os.close(made._read_end)
    os.close(made._write_end)


def test_reports_arrive_as_they_were_sent_and_once(reports: StartReports) -> None:
    reports.send(READY)
    reports.send(FAILED)
    assert list(reports.receive()) == [READY, FAILED]
    assert list(reports.receive()) == []


def test_a_parent_without_reports_does_not_wait(reports: StartReports) -> None:
    assert list(reports.receive()) == []


def test_a_report_that_has_arrived_in_part_is_kept_until_it_is_whole(reports: StartReports) -> None:
    reports.send(READY)
    line = os.read(reports._read_end, 4096)
    os.write(reports._write_end, line[:10])
    assert list(reports.receive()) == []
    os.write(reports._write_end, line[10:] + line)
    assert list(reports.receive()) == [READY, READY]


def test_more_reports_than_one_read_takes_all_arrive(reports: StartReports) -> None:
    sent = [StartReport(number, 0, (), 0.0, "x" * 700) for number in range(20)]
    for report in sent:
        reports.send(report)
    assert list(reports.receive()) == sent


def test_a_long_cause_is_cut(reports: StartReports) -> None:
    reports.send(StartReport(1, 0, (), 0.0, "x" * 100_000))
    (received,) = reports.receive()
    assert received.cause == "x" * 800


@pytest.mark.parametrize("character", ["ü", "模", "😀", "\udcff", "\x00", '"'], ids=ascii)
def test_a_long_cause_in_any_script_arrives_in_one_piece(reports: StartReports, character: str) -> None:
    reports.send(StartReport(1, 0, (), 0.0, character * 100_000))
    line = os.read(reports._read_end, 1_000_000)
    assert 4000 < len(line) <= 4096 or character == '"'
    os.write(reports._write_end, line)
    (received,) = reports.receive()
    assert received.cause is not None
    assert set(received.cause) == {character}


def test_models_that_do_not_fit_into_one_line_are_left_out(reports: StartReports) -> None:
    arithmetic = {f"{number:0>200}": "int8" for number in range(12)}
    revisions = {f"{number:0>200}": "1a2b3c4d5e6f" for number in range(12)}
    reports.send(StartReport(1, 0, (3,), 0.5, None, arithmetic, revisions))
    assert list(reports.receive()) == [StartReport(1, 0, (3,), 0.5, None)]


def test_a_cause_that_fits_is_not_cut(reports: StartReports) -> None:
    report = StartReport(1, 0, (), 0.0, "Modell für Übersetzung fehlt: /modelle/größe")
    reports.send(report)
    assert list(reports.receive()) == [report]


def test_a_process_that_finds_the_pipe_full_goes_on_to_its_end(reports: StartReports) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(reports._write_end, b"\n")
    reports.send(FAILED)
    assert os.read(reports._read_end, 1_000_000).strip() == b""


def test_processes_that_report_at_once_do_not_mix_their_lines(reports: StartReports) -> None:
    end = reports._write_end
    os.set_inheritable(end, True)
    processes = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(end), str(number)], pass_fds=[end]) for number in range(2)
    ]
    assert [process.wait(timeout=PATIENCE_S) for process in processes] == [0, 0]
    received = list(reports.receive())
    for number in range(2):
        own = [report for report in received if report.pid == number]
        assert [report.index for report in own] == list(range(50))
        assert [report.cause for report in own] == ["x" * index for index in range(50)]


def test_a_report_is_one_line_of_json(reports: StartReports) -> None:
    reports.send(StartReport(1, 0, (3,), 0.5, "two\nlines"))
    data = os.read(reports._read_end, 4096)
    assert data.count(b"\n") == 1
    assert json.loads(data)["cause"] == "two\nlines"
