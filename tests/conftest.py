"""Fixtures and hooks shared by every test: coroutine tests, offscreen Qt, the real workspace process."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.forks import Forked

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["QT_API"] = "pyside6"
os.environ.pop("BURROW_DATA", None)
# A shell starts what it puts in the background with interrupts ignored, and nohup what it starts with hang-ups, which
# every process of a test would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

pytest_plugins = ("tests.faults.report",)

COROUTINE_TEST_SECONDS = 30.0
WORKSPACE_START_SECONDS = 30.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run coroutine tests: those under tests/ui on the Qt loop, the others on asyncio's own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def bounded() -> None:
        async with asyncio.timeout(COROUTINE_TEST_SECONDS):
            await pyfuncitem.obj(**arguments)

    with asyncio.Runner(loop_factory=_loop_factory(pyfuncitem)) as runner:
        runner.run(bounded())
    return True


def _loop_factory(item: pytest.Function) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if "tests/ui/" not in item.path.as_posix():
        return None
    qapp = item._request.getfixturevalue("qapp")
    from app.ui.loop import Loop

    return lambda: Loop(qapp)


Process = subprocess.Popen[str] | Forked


def start_workspace_process(folder: Path, *arguments: str) -> Process:
    """A workspace that ends with its standard input, and whose first line of output says that it is ready.

    Its runs stay queued unless `--runs` says otherwise: few tests are about agents.
    """
    runs = () if "--runs" in arguments else ("--runs", "0")
    whole = ("workspace", "--watch-stdin", "--data", str(folder), *runs, *arguments)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    if sys.platform == "win32":
        return subprocess.Popen([sys.executable, "-m", "app", *whole], text=True, **pipes)
    return Forked("workspace", "app", whole, **pipes)


@pytest.fixture(scope="module")
def workspace_arguments() -> tuple[str, ...]:
    """Those of the workspace of a module that shares one (`tests/workspace/conftest.py`)."""
    return ()


@dataclass(frozen=True)
class RunningWorkspace:
    """A workspace process that answered its ready line."""

    url: str
    ready: dict[str, Any]
    process: Process
    data: Path

    @property
    def secret(self) -> str:
        """What the fault switchboard asks for in the `X-Workspace-Secret` header."""
        return str(self.ready["secret"])


@pytest.fixture
def start_workspace(tmp_path: Path) -> Iterator[Callable[..., RunningWorkspace]]:
    """Start real workspace processes; all of them are stopped when the test ends."""
    started: list[Process] = []

    def start(*arguments: str, data: Path | None = None) -> RunningWorkspace:
        folder = data or tmp_path / f"workspace-{len(started)}"
        process = start_workspace_process(folder, *arguments)
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the workspace ended with {process.wait(WORKSPACE_START_SECONDS)} before it was ready"
        ready = json.loads(line)
        return RunningWorkspace(ready["url"], ready, process, folder)

    yield start
    for process in started:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def workspace(start_workspace: Callable[..., RunningWorkspace]) -> RunningWorkspace:
    """One freshly seeded workspace."""
    return start_workspace()
