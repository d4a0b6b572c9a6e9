"""Crash reports, the markers of running windows, and what nobody handled."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.diagnostics.activity import ActivityRecord
from app.core.diagnostics.crash_hooks import MOST_REPORTS, CrashRecorder, RecordedCrash, crash_words
from app.core.diagnostics.crash_watch import CrashWatch
from app.core.diagnostics.crashes import MOST, REPORT_BYTES, TRACE_CHARACTERS, CrashReports, crashed_starts
from app.core.diagnostics.hang_watch import FILE_BYTES, HANGS_FILE, HangWatch
from app.core.diagnostics.run_marker import EndedRun, RunMarker, take_ended
from app.core.errors import Offline
from app.core.redaction import hide

# Lives until it is told how to end: as a window does.
WINDOW = """
import faulthandler, os, sys
from pathlib import Path
from app.core.diagnostics.run_marker import RunMarker
marker = RunMarker.begin(Path(sys.argv[1]), {"Installed as": "deb"})
if "ready" in sys.argv:
    marker.ready()
print("ready", flush=True)
how = sys.stdin.readline().strip()
if how == "note":
    marker.note("Qt aborts: no platform plugin")
    os.abort()
if how == "end":
    marker.end()
"""


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """The one of pytest comes back: a marker has the interpreter's trace while its process runs."""
    yield
    faulthandler.enable(2)


def window(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WINDOW, str(folder), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str], how: str | signal.Signals) -> int:
    if isinstance(how, signal.Signals):
        process.send_signal(how)
        process.communicate(timeout=20)
    else:
        process.communicate(f"{how}\n", timeout=20)
    return process.returncode


def failing(text: str = "broken") -> RuntimeError:
    try:
        raise RuntimeError(text)
    except RuntimeError as failure:
        return failure


def test_a_window_that_runs_or_ended_well_leaves_nothing_to_find(tmp_path: Path) -> None:
    process = window(tmp_path)
    assert take_ended(tmp_path) == []
    assert end(process, "end") == 0
    assert take_ended(tmp_path) == []
    assert os.listdir(tmp_path / "crashes") == []


@pytest.mark.parametrize(
    ("how", "words"),
    [(signal.SIGSEGV, "Segmentation fault"), ("note", "Qt aborts: no platform plugin"), (signal.SIGKILL, "")],
)
def test_a_crash_has_a_trace_and_a_kill_has_none_and_each_is_found_once(
    tmp_path: Path, how: str | signal.Signals, words: str
) -> None:
    process = window(tmp_path, "ready")
    assert end(process, how) != 0
    [run] = take_ended(tmp_path)
    assert run.pid == process.pid
    assert words in run.trace
    assert bool(run.trace) == bool(words)
    assert run.ready
    assert ("Installed as", "deb") in run.facts
    assert take_ended(tmp_path) == []
    assert os.listdir(tmp_path / "crashes") == []


def test_only_a_window_that_crashed_gets_a_report(tmp_path: Path) -> None:
    end(window(tmp_path), signal.SIGABRT)
    end(window(tmp_path), signal.SIGKILL)
    watch = CrashWatch(tmp_path)
    try:
        assert len(watch.crashed) == len(watch.killed) == 1
        assert watch.crashed_starts == 1
        text = watch.crashed[0].read()
        assert "Installed as: deb" in text
        assert "Aborted" in text
        assert watch.crashed[0].path.stat().st_mode & 0o777 == 0o600
    finally:
        watch.end()


def test_a_marker_that_is_damaged_is_a_killed_window(tmp_path: Path) -> None:
    folder = tmp_path / "crashes"
    folder.mkdir()
    (folder / "1-a.run").write_bytes(b"\xff[]")
    (folder / "2-b.run").write_text('["no object"]')
    assert [run.trace for run in take_ended(tmp_path)] == ["", ""]


def test_a_folder_that_cannot_be_written_has_no_marker_and_no_report(tmp_path: Path) -> None:
    (tmp_path / "crashes").write_text("a file in its place")
    assert RunMarker.begin(tmp_path, {}) is None
    reports = CrashReports(tmp_path, {})
    assert reports.of_failure(failing(), "a job") is None
    assert reports.all() == []
    watch = CrashWatch(tmp_path)
    assert watch.crashed == []
    watch.end()


def test_a_report_holds_no_secret_no_home_and_a_bounded_end_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ana.meier")
    secret = "phx_canary0123456789abcdef"
    (tmp_path / "burrow.log").write_text(f"{'x' * 30_000} access_token={secret}\nafter /home/ana.meier/work\n")
    reports = CrashReports(tmp_path, {"Burrow": "1.2"})
    report = reports.of_failure(failing(f"refused: Authorization: Bearer {secret}"), "a job of the window")
    assert report is not None
    text = report.read()
    assert "RuntimeError" in text
    assert "test_crashes.py" in text
    assert "MainThread" in text
    assert "Burrow: 1.2" in text
    assert "canary0123456789" not in text
    assert "ana.meier" not in text
    assert "after ~/work" in text
    assert "xxxx" not in text


def test_reports_are_bounded_in_size_and_number_and_the_oldest_go(tmp_path: Path) -> None:
    reports = CrashReports(tmp_path, {})
    huge = EndedRun(1, 0.0, "1", "é" * REPORT_BYTES, 1.0)
    first = reports.of_run(huge)
    assert first is not None
    assert first.path.stat().st_size <= REPORT_BYTES + 100
    for at in range(MOST + 3):
        reports.of_run(EndedRun(1, 0.0, "1", "trace", 10.0 + at))
    found = reports.all()
    assert len(found) == MOST
    assert found[0].at == 10.0 + MOST + 2
    assert not first.path.exists()
    (reports.folder / "crash-nonsense.txt").write_text("")
    assert len(reports.all()) == MOST


def test_starts_that_crashed_one_after_the_other_are_counted(tmp_path: Path) -> None:
    reports, now = CrashReports(tmp_path, {}), 1_000.0
    for at, ready in ((700.0, False), (930.0, False), (960.0, True), (980.0, False)):
        reports.of_run(EndedRun(1, at - 1, "1", "trace", at, ready))
    assert crashed_starts(reports.all(), now, 60.0) == 2
    assert crashed_starts(reports.all(), now + 100, 60.0) == 0


def test_each_place_is_recorded_once_and_an_expected_error_never(tmp_path: Path) -> None:
    told: list[RecordedCrash] = []
    activity = [ActivityRecord("1", 5.0, "mcp", "https://secret.example", "call delete_all", "ok", 12.0, {})]
    recorder = CrashRecorder(CrashReports(tmp_path, {}), lambda: activity)
    recorder.recorded.subscribe(told.append)
    for _ in range(3):
        recorder.record(failing(), "a job")
    recorder.record(Offline("no network"), "a job")
    recorder.record(KeyboardInterrupt(), "a job")
    [crash] = told
    assert crash.report is not None
    text = crash.report.read()
    assert "5.000 mcp ok 12 ms" in text
    assert "secret.example" not in text
    assert "delete_all" not in text
    for number in range(MOST_REPORTS + 5):
        # Without a trace the type is the place.
        recorder.record(type(f"Kind{number}", (Exception,), {})(), "a job")
    assert len(recorder.reports.all()) == MOST_REPORTS


def test_an_exception_that_cannot_be_shown_does_no_further_harm(tmp_path: Path) -> None:
    class Unshowable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    told: list[RecordedCrash] = []
    recorder = CrashRecorder(CrashReports(tmp_path, {}))
    recorder.recorded.subscribe(told.append)
    report = recorder.record(Unshowable(), "a job")
    assert len(told) == 1
    assert "Unshowable" in crash_words(told[0].failure, report)


def test_an_exception_that_holds_a_whole_answer_is_cut_before_secrets_are_looked_for(tmp_path: Path) -> None:
    secret = "rather-long-and-without-any-shape"
    hide(secret)
    for before in (0, TRACE_CHARACTERS // 2 - 100, TRACE_CHARACTERS):
        # Wherever an edge is, it lies within a secret.
        failure = RuntimeError("x" * before + secret * 20_000 + "the last words")
        began = time.monotonic()
        report = CrashReports(tmp_path / str(before), {}).of_failure(failure, "a job", threads=False)
        assert time.monotonic() - began < 5
        assert report is not None
        text = report.read()
        assert len(text) < TRACE_CHARACTERS + 2000
        assert "rather-long" not in text
        assert "without-any-shape" not in text
        assert "RuntimeError: " in text
        assert "the last words" in text
        assert len(crash_words(failure, report)) < 3000


def test_a_file_whose_name_has_no_time_is_no_report(tmp_path: Path) -> None:
    reports = CrashReports(tmp_path, {})
    reports.folder.mkdir()
    for name in ("nan", "inf", "1e300", "1e400", "253402300801.0-a", "", "x"):
        (reports.folder / f"crash-{name}.txt").touch()
    assert reports.all() == []


async def test_what_leaves_a_thread_a_task_or_a_destructor_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What pytest has in their place would fail the test.
    for name in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, name, lambda *_: None)
    monkeypatch.setattr(threading, "excepthook", lambda _arguments: None)
    recorder = CrashRecorder(CrashReports(tmp_path, {}))
    told: list[str] = []
    recorder.recorded.subscribe(lambda crash: told.append(str(crash.failure)))
    loop = asyncio.get_running_loop()
    former, restore = loop.get_exception_handler(), recorder.install()
    recorder.watch(loop)
    try:
        thread = threading.Thread(target=lambda: (_ for _ in ()).throw(ValueError("a thread")))
        thread.start()
        await asyncio.to_thread(thread.join)

        class Destroyed:
            def __del__(self) -> None:
                raise ValueError("a destructor")

        Destroyed()

        async def fails() -> None:
            raise ValueError("a task")

        task = asyncio.create_task(fails())
        await asyncio.wait([task])
        del task
        loop.call_soon(lambda: (_ for _ in ()).throw(ValueError("a callback")).__next__())
        await asyncio.sleep(0)
        sys.excepthook(ValueError, ValueError("the main thread"), None)
    finally:
        restore()
        loop.set_exception_handler(former)
    assert {"a thread", "a destructor", "a callback", "the main thread"} <= set(told)
    before = len(told)
    sys.excepthook(ValueError, ValueError("after the end"), None)
    assert len(told) == before


def test_a_loop_that_stands_still_is_written_down_with_all_threads(tmp_path: Path) -> None:
    watch, file = HangWatch(tmp_path, seconds=0.2), tmp_path / HANGS_FILE
    held, busy = threading.Event(), threading.Thread(target=lambda: held.wait(10), name="another one")
    busy.start()
    try:
        assert not watch.beat()
        hang_here(file)
        assert watch.beat()
        text = file.read_text()
        assert "in hang_here" in text
        assert "Thread another one:" in text
        assert "The loop turned again" in text
        # On a busy machine this test itself may stand still for so long.
        assert any(not watch.beat() for _again in range(20))
    finally:
        watch.end()
        held.set()
        busy.join()
    size = file.stat().st_size
    time.sleep(0.3)
    assert file.stat().st_size == size


def test_what_is_written_of_loops_that_stand_still_does_not_grow_without_end(tmp_path: Path) -> None:
    file = tmp_path / HANGS_FILE
    file.write_bytes(b"x" * (FILE_BYTES + 1))
    watch = HangWatch(tmp_path, seconds=0.05)
    try:
        assert file.stat().st_size == 0
        watch.beat()
        hang_here(file)
        with file.open("ab") as more:
            more.write(b"x" * FILE_BYTES)
        assert watch.beat()
        assert file.stat().st_size < FILE_BYTES / 2
    finally:
        watch.end()


def hang_here(file: Path) -> None:
    deadline = time.monotonic() + 10
    while "hang_here" not in file.read_text():
        assert time.monotonic() < deadline
