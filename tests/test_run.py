"""The test command's own promises: every phase runs, a failure is never lost, and no phase outlives its time."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from tests.run import (
    COMPILE,
    LAST_WORDS_SECONDS,
    NOTHING_COLLECTED,
    PREPARE,
    Phase,
    check_phases,
    preparation,
    run_bounded,
    run_phases,
    tally,
)
from tests.run import test_phases as phases_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def exits(code: int) -> tuple[str, ...]:
    return (sys.executable, "-c", f"raise SystemExit({code})")


def test_every_phase_runs_after_a_failure_and_the_whole_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "ran"
    last = Phase("last", (sys.executable, "-c", f"open({str(mark)!r}, 'w').close()"))
    assert run_phases([Phase("first", exits(3)), last]) == 1
    assert mark.exists()
    closing = capsys.readouterr().out.splitlines()[-2:]
    assert closing[0].split()[:3] == ["first", "failed", "(3)"]
    assert closing[1].split()[:2] == ["last", "ok"]


def test_no_serial_tests_is_no_failure_but_no_tests_at_all_is() -> None:
    parallel, _packages, serial = phases_of([], whole=True)
    assert NOTHING_COLLECTED in serial.harmless
    assert NOTHING_COLLECTED not in parallel.harmless
    assert run_phases([Phase("serial", exits(NOTHING_COLLECTED), harmless={NOTHING_COLLECTED})]) == 0
    assert run_phases([Phase("parallel", exits(NOTHING_COLLECTED))]) == 1


def test_every_test_is_in_one_phase() -> None:
    asked = [phase.command[phase.command.index("-m", 3) + 1] for phase in phases_of([], whole=True)]
    for marks in (set(), {"packaged"}, {"windowed"}, {"serial"}):
        known = {name: name in marks for name in ("packaged", "windowed", "serial")}
        assert sum(eval(words, {}, known) for words in asked) == 1


def test_what_is_prepared_is_ready_before_a_phase_that_is_undisturbed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun, ready = tmp_path / "begun", tmp_path / "ready"
    os.mkfifo(begun)
    beside = f"open({str(begun)!r}, 'w').close(); open({str(ready)!r}, 'w').close(); print('made')"
    first = Phase("first", (sys.executable, "-c", f"open({str(begun)!r}).read()"))
    needs = f"import os; raise SystemExit(0 if os.path.exists({str(ready)!r}) else 1)"
    last = Phase("last", (sys.executable, "-c", needs), undisturbed=True)
    log = tmp_path / "reports" / "prepared.txt"
    assert run_phases([first, last], beside=(sys.executable, "-c", beside), log=log) == 0
    assert log.read_text() == "made\n"
    assert "made" not in capsys.readouterr().out


def test_tests_are_compiled_beside_the_checks_of_a_fresh_checkout_only(tmp_path: Path) -> None:
    assert preparation([], whole=False, root=tmp_path) == COMPILE
    kept = tmp_path / "tests" / "__pycache__"
    kept.mkdir(parents=True)
    (kept / "test_run.cpython-311-pytest-9.2.0.pyc").touch()
    assert preparation([], whole=False, root=tmp_path) == ()
    assert preparation([], whole=True, root=tmp_path) == PREPARE
    assert preparation(["tests/test_run.py"], whole=True, root=tmp_path) == ()


def test_what_cannot_be_prepared_is_said_and_left_to_the_tests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = Phase("last", exits(0), undisturbed=True)
    log = tmp_path / "prepared.txt"
    assert run_phases([last], beside=exits(3), log=log) == 0
    assert f"not prepared (3), see {log}" in capsys.readouterr().out


def test_preparing_ends_with_the_run_and_its_children_too(tmp_path: Path) -> None:
    pipe = tmp_path / "held-by-a-child"
    os.mkfifo(pipe)
    child = f"import time; pipe = open({str(pipe)!r}, 'wb'); time.sleep(600)"
    beside = (sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])")
    # It ends when the child has opened the other end.
    phase = Phase("only", (sys.executable, "-c", f"open({str(pipe)!r}, 'rb')"))
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert run_phases([phase], beside=beside, log=tmp_path / "prepared.txt") == 0
    with os.fdopen(reader, "rb") as held:
        assert held.read() == b"", "a child still holds the pipe"


def test_a_phase_that_outlives_its_time_is_ended_with_its_children(tmp_path: Path) -> None:
    pipe = tmp_path / "held-by-a-child"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    child = f"import time; pipe = open({str(pipe)!r}, 'wb'); time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    started = time.monotonic()
    assert run_bounded((sys.executable, "-c", parent), 1.0) is None
    assert time.monotonic() - started < LAST_WORDS_SECONDS
    with os.fdopen(reader, "rb") as held:
        assert held.read() == b"", "a child still holds the pipe"


def test_what_a_phase_starts_may_keep_its_compiled_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert run_bounded((sys.executable, "-c", "import sys; raise SystemExit(sys.dont_write_bytecode)"), 30.0) == 0


def test_what_ran_out_of_time_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_phases([Phase("slow", (sys.executable, "-c", "import time; time.sleep(600)"))], seconds=0.5) == 1
    assert "out of time" in capsys.readouterr().out


def test_the_closing_line_adds_up_the_reports(tmp_path: Path) -> None:
    one, other = tmp_path / "one.xml", tmp_path / "other.xml"
    one.write_text('<testsuites><testsuite tests="10" failures="1" errors="1" skipped="2"/></testsuites>')
    other.write_text('<testsuites><testsuite tests="5" failures="0" errors="0" skipped="0"/></testsuites>')
    assert tally([one, other]) == "11 passed, 2 failed, 2 skipped"


def test_arguments_of_a_persons_own_make_one_phase_of_just_those() -> None:
    (phase,) = phases_of(["tests/core", "-x"], whole=False)
    assert phase.command[-2:] == ("tests/core", "-x")
    assert "-n" not in phase.command


def test_the_checks_are_lint_format_types_and_layers() -> None:
    assert [phase.name for phase in check_phases()] == ["ruff check", "ruff format", "mypy", "import-linter"]
