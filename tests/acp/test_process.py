"""An agent as a process: large messages over its pipes, how it ends, and that nothing of it is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.acp.messages import PeerClosed
from app.acp.process import AgentProcess
from app.processes.child import NotStarted
from tests.processes.system import is_running
from tests.until import until

TALKER = Path(__file__).with_name("_talker.py")
PYTHON = (sys.executable, "-I", "-S")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups")


class Talker:
    """A process that was started and what it said."""

    def __init__(self) -> None:
        self.process: AgentProcess
        self.told: list[tuple[str, dict[str, Any]]] = []

    def children(self) -> list[int]:
        return [params["pid"] for method, params in self.told if method == "child"]


@asynccontextmanager
async def talker(tmp_path: Path, *arguments: str) -> AsyncIterator[Talker]:
    it = Talker()

    async def measure(_method: str, params: dict[str, Any], _id: object) -> dict[str, object]:
        return {"size": len(params["text"])}

    it.process = await AgentProcess.start(
        (*PYTHON, str(TALKER), *arguments),
        tmp_path,
        dict(os.environ),
        on_request=measure,
        on_notification=lambda method, params: it.told.append((method, params)),
    )
    try:
        yield it
    finally:
        await it.process.end()


async def test_large_messages_travel_both_ways(tmp_path: Path) -> None:
    async with talker(tmp_path) as it:
        for size in (300 * 1024, 5 * 1024 * 1024):
            answer = await it.process.peer.request("echo", {"text": "x" * size, "size": size})
            assert (len(str(answer["text"])), answer["got"]) == (size, size)
            assert await it.process.peer.request("ask", {"size": size}) == {"size": size}


async def test_an_agent_that_reads_slowly_holds_up_nothing_but_what_is_sent_to_it(tmp_path: Path) -> None:
    async with talker(tmp_path) as it:
        slow = asyncio.create_task(it.process.peer.request("slow", {"seconds": 0.3}))
        large = asyncio.create_task(it.process.peer.notify("large", {"text": "x" * 3_000_000}))
        turns = 0
        while not slow.done():
            await asyncio.sleep(0.005)
            turns += 1
        assert turns > 20
        await large


async def test_the_end_of_standard_error_is_kept_and_bounded(tmp_path: Path) -> None:
    async with talker(tmp_path) as it:
        await it.process.peer.request("stderr", {"lines": 2_000, "characters": 2_000})
        await until(lambda: it.process.stderr_tail and it.process.stderr_tail[-1].startswith("line 1999 "))
        assert len(it.process.stderr_tail) == 20
        assert {len(line) for line in it.process.stderr_tail} == {400}


async def test_a_crash_is_told_with_its_signal_and_its_last_words(tmp_path: Path) -> None:
    async with talker(tmp_path) as it:
        with pytest.raises(PeerClosed):
            await it.process.peer.request("crash", {})
        await it.process.wait()
        assert await it.process.how_it_ended() == f"{Path(sys.executable).name} ended with signal SIGABRT."
        assert it.process.stderr_tail == ("cannot find the model",)


async def test_an_agent_that_ends_inside_of_a_message_is_told_so(tmp_path: Path) -> None:
    async with talker(tmp_path) as it:
        with pytest.raises(PeerClosed):
            await it.process.peer.request("half", {})
        await it.process.wait()
        assert "does not keep to the protocol. The connection ended inside of a message" in (
            await it.process.how_it_ended()
        )
        assert it.process.exit_code == 3


@pytest.mark.parametrize(
    ("command", "folder", "words"),
    [
        (("no-such-agent",), "", "“no-such-agent” cannot be started: No such file or directory."),
        (PYTHON, "gone", f"“{sys.executable}” cannot be started in"),
        ((), "", "there is no command"),
        (("a\0b",), "", "embedded null byte"),
    ],
)
async def test_what_cannot_be_started_says_why(
    tmp_path: Path, command: tuple[str, ...], folder: str, words: str
) -> None:
    with pytest.raises(NotStarted, match=words.replace(".", r"\.")):
        await AgentProcess.start(
            command, tmp_path / folder, {}, on_request=lambda *_: None, on_notification=lambda *_: None
        )


async def test_the_environment_is_the_given_one(tmp_path: Path) -> None:
    script = "import os, json; print(json.dumps({'method': 'env', 'params': dict(os.environ)}))"
    told: list[dict[str, object]] = []
    process = await AgentProcess.start(
        (*PYTHON, "-c", script),
        tmp_path,
        {"ONLY": "this"},
        on_request=lambda *_: None,
        on_notification=lambda _method, params: told.append(params),
    )
    await process.wait()
    await process.end()
    assert told[0].keys() - {"LC_CTYPE"} == {"ONLY", "BURROW_AGENT_MARK"}


async def test_nothing_is_left_of_an_agent_that_ignores_its_end(tmp_path: Path) -> None:
    async with talker(tmp_path, "child", "deaf") as it:
        await until(lambda: ("ready", {}) in it.told)
        children = it.children()
        assert [is_running(each) for each in children] == [True, True]
        began = time.monotonic()
        await it.process.end()
        assert time.monotonic() - began < 2
        assert it.process.exit_code == -signal.SIGKILL
        await until(lambda: not any(map(is_running, children)))


async def test_what_a_killed_launcher_started_still_speaks_and_ends_with_it(tmp_path: Path) -> None:
    # A shell gives what it puts in the background no input, unless told.
    launcher = f"""
exec 3<&0
{sys.executable} -I -S {TALKER} <&3 &
echo '{{"method": "child", "params": {{"pid": '$!'}}}}'
wait
"""
    told: list[tuple[str, dict[str, Any]]] = []
    process = await AgentProcess.start(
        ("/bin/sh", "-c", launcher),
        tmp_path,
        dict(os.environ),
        on_request=lambda *_: None,
        on_notification=lambda method, params: told.append((method, params)),
    )
    try:
        await until(lambda: told)
        child = told[0][1]["pid"]
        os.kill(process.pid, signal.SIGKILL)
        await until(lambda: process.exit_code is not None)
        assert await process.peer.request("still there", {}) == {"method": "still there"}
        assert is_running(child)
    finally:
        await process.end()
    await until(lambda: not is_running(child))


async def test_nothing_is_left_when_this_process_is_killed(tmp_path: Path) -> None:
    script = f"""
import asyncio, os
from pathlib import Path
from app.acp.process import AgentProcess
async def main():
    process = await AgentProcess.start(
        {(*PYTHON, str(TALKER), "child", "deaf")!r}, Path({str(tmp_path)!r}), dict(os.environ),
        on_request=lambda *_: None, on_notification=lambda method, params: print(params.get("pid", 0), flush=True))
    print(process.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert process.stdout is not None
    agent, *children, ready = [int(await process.stdout.readline()) for _ in range(4)]
    assert ready == 0
    process.kill()
    await process.wait()
    assert is_running(agent)
    await until(lambda: not any(map(is_running, (agent, *children))), 4)
