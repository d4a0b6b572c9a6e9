"""Processes that are started: what a cancelled start leaves, when their exit is told, and how they end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from app.processes.child import ChildProcess, NotStarted
from app.processes.guarded import start_guarded
from app.processes.output import output_of
from tests.processes.cancelled import assert_cancelled_starts_leave_nothing
from tests.processes.system import children, is_running
from tests.until import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups")
PATH = {"PATH": os.defpath}


def shell(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
async def test_a_start_that_is_cancelled_at_any_await_ends_at_once_and_leaves_nothing() -> None:
    await assert_cancelled_starts_leave_nothing()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize("marked", [False, True])
async def test_the_guard_of_a_cancelled_start_ends_with_it(marked: bool) -> None:
    began = children()
    starting = asyncio.create_task(start_guarded(shell("sleep 60"), None, PATH, marked=marked))
    await asyncio.sleep(0)
    assert len(children() - began) == 2
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await until(lambda: children() <= began)


async def test_the_exit_is_told_while_a_child_keeps_the_output_open() -> None:
    child = await ChildProcess.start(shell("sleep 60 & exit 7"), None, PATH)
    try:
        async with asyncio.timeout(20):
            assert await child.wait() == 7
        assert not child.closed.is_set()
    finally:
        await child.end((0.1, 0.1))


async def test_what_ends_by_itself_at_the_end_of_its_input_gets_no_signal() -> None:
    child = await ChildProcess.start(shell("trap 'exit 9' TERM; read line; exit 3"), None, PATH)
    await child.end((20, 20))
    assert child.exit_code == 3


async def test_a_process_without_a_path_is_found_in_ours_and_an_absent_one_is_named(tmp_path: Path) -> None:
    child = await ChildProcess.start(("true",), None, {})
    assert await child.wait() == 0
    child.close()
    with pytest.raises(NotStarted, match="“true” cannot be started: No such file or directory"):
        await ChildProcess.start(("true",), None, {"PATH": str(tmp_path)})


async def test_a_command_is_run_to_its_end_with_what_it_is_given() -> None:
    ended = await output_of(shell("cat; echo wrong >&2; exit 4"), None, PATH, seconds=20, given=b"x" * 3_000_000)
    assert (ended.code, len(ended.output), ended.errors) == (4, 3_000_000, b"wrong\n")
    merged = await output_of(shell("echo one; echo two >&2; kill -9 $$"), None, PATH, seconds=20, merged=True)
    assert (merged.code, merged.output, merged.errors) == (-signal.SIGKILL, b"one\ntwo\n", b"")


async def test_a_command_that_reads_nothing_of_what_it_is_given_ends_all_the_same() -> None:
    assert (await output_of(shell("exit 5"), None, PATH, seconds=20, given=b"x" * 3_000_000)).code == 5


async def test_output_beyond_the_limit_is_read_and_dropped() -> None:
    ended = await output_of(shell("head -c 3000000 /dev/zero"), None, PATH, seconds=20, limit=1_000)
    assert (ended.code, ended.output) == (0, bytes(1_000))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
async def test_a_command_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(TimeoutError):
        await output_of(shell(f"sleep 60 & echo $! >{pid}; wait"), None, PATH, seconds=0.3)
    number = int(pid.read_text())
    await until(lambda: not is_running(number))
