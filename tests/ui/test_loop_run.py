"""An application on the loop ends when it is asked to, cleanly, whatever still runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

BOUND = 20.0
PRELUDE = """
import asyncio, logging, os, sys, threading, time
logging.basicConfig(format="%(levelname)s %(message)s")
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QDialog, QWidget
from app.ui import loop as loops
app = QApplication([])
"""
EPILOGUE = """
code = loops.run(app, main)
print("left", asyncio._get_running_loop(), sum(not task.done() for task in asyncio.tasks._all_tasks), flush=True)
sys.exit(code)
"""
unix_only = pytest.mark.skipif(os.name == "nt", reason="signals between processes are Unix")


def start(program: str, epilogue: str = EPILOGUE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(program) + epilogue],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    output, errors = process.communicate(timeout=BOUND)
    return process.returncode, output.splitlines(), errors


def test_the_code_of_main_is_the_code_of_the_run() -> None:
    code, output, errors = finish(start("async def main(quitting): return 7"))
    assert (code, output, errors) == (7, ["left None 0"], "")


def test_an_exception_of_main_comes_out() -> None:
    code, _, errors = finish(start("async def main(quitting): raise LookupError('mine')"))
    assert code == 1
    assert "LookupError: mine" in errors


QUITTING = """
async def main(quitting):
    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            print("cleaned", flush=True)
    kept = [asyncio.create_task(forever()) for _ in range(3)]
    await asyncio.sleep(0)
    print("ready", flush=True)
    HOW
    await quitting.wait()
    print("quitting", flush=True)
    return 0
"""
CLEAN = ["ready", "quitting", "cleaned", "cleaned", "cleaned", "left None 0"]


@unix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_an_idle_window_ends_it_within_a_second(number: signal.Signals) -> None:
    process = start(QUITTING.replace("HOW", "window = QWidget(); window.show()"))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    process.send_signal(number)
    code, output, errors = finish(process)
    assert time.monotonic() - began < 1.5
    assert (code, output, errors) == (0, CLEAN[1:], "")


@unix_only
def test_interrupting_a_bare_runner_raises_keyboard_interrupt() -> None:
    bare = """
    async def main():
        print("ready", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            print("cleaned", flush=True)
    try:
        with asyncio.Runner(loop_factory=lambda: loops.Loop(app)) as runner:
            runner.run(main())
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    """
    process = start(bare, epilogue="")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert finish(process) == (0, ["cleaned", "interrupted"], "")


@pytest.mark.parametrize(
    "how",
    [
        "window = QWidget(); window.show(); QTimer.singleShot(0, window.close)",
        "QTimer.singleShot(0, app.quit)",
        "QTimer.singleShot(0, app.exit)",
        "asyncio.get_running_loop().call_soon(app.quit)",
    ],
    ids=["last window closed", "quit", "exit", "quit from a callback"],
)
def test_the_wish_to_quit_reaches_main(how: str) -> None:
    assert finish(start(QUITTING.replace("HOW", how))) == (0, CLEAN, "")


def test_closing_a_dialog_over_a_window_is_no_wish_to_quit() -> None:
    program = """
    async def main(quitting):
        window = QWidget(); window.show()
        dialog = QDialog(window); dialog.open()
        dialog.accept()
        await asyncio.sleep(0.05)
        return 5 if not quitting.is_set() else 6
    """
    assert finish(start(program))[0] == 5


def test_quitting_while_a_dialog_runs_its_own_loop_ends_it() -> None:
    program = """
    async def main(quitting):
        QTimer.singleShot(50, app.quit)
        QDialog().exec()
        await quitting.wait()
        return 4
    """
    assert finish(start(program))[0] == 4


def test_a_main_that_does_not_end_is_cancelled() -> None:
    program = """
    loops.QUIT_SECONDS = 0.1
    async def main(quitting):
        QTimer.singleShot(0, app.quit)
        try:
            await asyncio.Event().wait()
        finally:
            print("cancelled", flush=True)
    """
    code, output, errors = finish(start(program))
    assert (code, output, errors) == (1, ["cancelled", "left None 0"], "")


@unix_only
def test_a_second_signal_cancels_main() -> None:
    program = """
    async def main(quitting):
        print("ready", flush=True)
        await quitting.wait()
        print("quitting", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            print("cancelled", flush=True)
    """
    process = start(program)
    assert process.stdout is not None
    for line in ("ready\n", "quitting\n"):
        assert process.stdout.readline() == line
        process.send_signal(signal.SIGINT)
    assert finish(process) == (1, ["cancelled", "left None 0"], "")


def test_a_task_that_refuses_to_end_is_named_and_left() -> None:
    program = """
    loops.CANCEL_SECONDS = 0.05
    async def main(quitting):
        async def stubborn():
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    pass
        global kept
        kept = asyncio.create_task(stubborn(), name="mule")
        await asyncio.sleep(0)
        return 0
    """
    code, _, errors = finish(start(program))
    assert code == 0
    assert "does not end when cancelled" in errors
    assert "mule" in errors


def test_a_worker_that_hangs_does_not_keep_the_process() -> None:
    program = """
    async def main(quitting):
        begun = threading.Event()
        def hang():
            begun.set()
            time.sleep(60)
        asyncio.get_running_loop().run_in_executor(None, hang)
        await asyncio.to_thread(begun.wait)
        return 0
    """
    began = time.monotonic()
    code, _, errors = finish(start(program))
    assert code == 0
    assert "Left behind" in errors
    assert time.monotonic() - began < 10
