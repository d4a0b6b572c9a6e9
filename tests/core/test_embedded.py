"""The supervisor and the real workspace process: found or started, started again, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.core import embedded
from app.core.embedded import EmbeddedWorkspace, Ready
from app.core.errors import BurrowError, ServerTrouble, StorageTrouble
from app.core.fetcher import plain_json
from tests.conftest import RunningWorkspace
from tests.core.scripted import Reply, ScriptedServer

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
SECONDS = 15.0


@asynccontextmanager
async def supervised(folder: Path) -> AsyncIterator[EmbeddedWorkspace]:
    workspace = EmbeddedWorkspace(folder)
    try:
        yield workspace
    finally:
        await workspace.stop()


async def answers(url: str) -> bool:
    try:
        about = await plain_json("GET", f"{url}/_workspace")
    except BurrowError:
        return False
    return isinstance(about, dict) and about.get("name") == "burrow-workspace"


async def until(condition: Callable[[], Any]) -> None:
    """Wait, bounded, until `condition` (a function or coroutine function) holds."""
    async with asyncio.timeout(SECONDS):
        while True:
            held = condition()
            if asyncio.iscoroutine(held):
                held = await held
            if held:
                return
            await asyncio.sleep(0.02)


def pid_of(folder: Path) -> int:
    return int(json.loads((folder / "runtime.json").read_text("utf-8"))["pid"])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_a_start_that_fails_names_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "workspace"
    monkeypatch.setattr(embedded, "_command", lambda: [sys.executable, "-c", "raise SystemExit('cannot start')"])
    workspace = EmbeddedWorkspace(folder)
    with pytest.raises(ServerTrouble) as caught:
        await workspace.start()
    assert str(folder / "workspace.log") in caught.value.advice
    assert "cannot start" in (folder / "workspace.log").read_text("utf-8")
    assert "exit code 1" in caught.value.cause
    monkeypatch.undo()
    assert await answers((await workspace.start()).url)
    await workspace.stop()


async def test_a_program_that_is_not_there_is_named_and_not_taken_for_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_command", lambda: [str(tmp_path / "none")])
    with pytest.raises(ServerTrouble, match=f"{tmp_path}/none: No such file"):
        await EmbeddedWorkspace(tmp_path).start()


async def test_a_folder_that_cannot_be_made_is_typed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageTrouble):
        await EmbeddedWorkspace(tmp_path / "file" / "workspace").start()


async def test_a_start_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid_file = tmp_path / "pid"
    hang = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    monkeypatch.setattr(embedded, "_command", lambda: [sys.executable, "-c", hang])
    monkeypatch.setattr(embedded, "READY_SECONDS", 1.0)
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.1)
    with pytest.raises(ServerTrouble):
        await EmbeddedWorkspace(tmp_path / "workspace").start()
    assert not pid_file.exists() or not alive(int(pid_file.read_text()))


@pytest.mark.parametrize(
    "line", ["", "hello", "[]", "{}", '{"url": "http://127.0.0.1:1"}', '{"url": 5, "secret": "s"}', "null"]
)
def test_what_is_no_ready_line_is_no_ready_line(line: str) -> None:
    with pytest.raises(ValueError):
        Ready.parse(line)


async def test_it_starts_the_workspace_and_stop_ends_it(tmp_path: Path) -> None:
    async with supervised(tmp_path) as workspace:
        ready = await workspace.start()
        assert await workspace.start() is ready
        pid = pid_of(tmp_path)
        assert await answers(ready.url)
        assert ready.host.origin == ready.url
        assert await workspace.ticket() != await workspace.ticket()
        await workspace.stop()
        assert not alive(pid)
        assert not await answers(ready.url)
        assert not (tmp_path / "runtime.json").exists()


async def test_two_callers_at_once_start_one(tmp_path: Path) -> None:
    async with supervised(tmp_path) as workspace:
        first, second = await asyncio.gather(workspace.start(), workspace.start())
        assert first == second
        assert workspace._process is not None
        assert pid_of(tmp_path) == workspace._process.pid


async def test_one_that_runs_already_is_found_and_left_running(
    tmp_path: Path, start_workspace: Callable[..., RunningWorkspace]
) -> None:
    running = start_workspace(data=tmp_path)
    async with supervised(tmp_path) as workspace:
        ready = await workspace.start()
        assert (ready.url, ready.secret) == (running.url, running.secret)
    assert running.process.poll() is None
    assert await answers(running.url)


async def test_one_that_was_found_and_then_ended_is_replaced_by_our_own(
    tmp_path: Path, start_workspace: Callable[..., RunningWorkspace]
) -> None:
    running = start_workspace(data=tmp_path)
    async with supervised(tmp_path) as workspace:
        assert (await workspace.start()).url == running.url
        assert running.process.stdin is not None
        running.process.stdin.close()
        running.process.wait(5)
        assert await workspace.ticket()
        assert await answers((await workspace.start()).url)


@pytest.mark.parametrize("record", ["torn {", "[]", '{"url": "http://example.com", "secret": "s", "client_id": "c"}'])
async def test_a_record_of_what_no_longer_runs_is_not_believed(tmp_path: Path, record: str) -> None:
    (tmp_path / "runtime.json").write_text(record)
    async with supervised(tmp_path) as workspace:
        assert await answers((await workspace.start()).url)


async def test_another_server_at_the_recorded_address_is_not_taken_for_it(tmp_path: Path) -> None:
    async with ScriptedServer() as stranger:
        stranger.views["/_workspace"] = Reply(200, {"name": "something else"})
        record = {"url": stranger.origin, "secret": "s", "client_id": "c"}
        (tmp_path / "runtime.json").write_text(json.dumps(record))
        async with supervised(tmp_path) as workspace:
            assert (await workspace.start()).url != stranger.origin
        assert all("x-workspace-secret" not in request.headers for request in stranger.seen)


@POSIX
async def test_one_that_is_killed_comes_back_at_the_same_address(tmp_path: Path) -> None:
    async with supervised(tmp_path) as workspace:
        ready = await workspace.start()
        pid = pid_of(tmp_path)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: pid_of(tmp_path) != pid)
        await until(lambda: answers(ready.url))
        again = await workspace.start()
        assert again.url == ready.url
        assert again.secret != ready.secret
        assert await workspace.ticket()
        second = pid_of(tmp_path)
    assert not alive(second)


@POSIX
async def test_who_asks_just_after_it_was_killed_gets_a_living_one(tmp_path: Path) -> None:
    async with supervised(tmp_path) as workspace:
        ready = await workspace.start()
        assert workspace._process is not None
        killed = workspace._process
        killed.kill()
        killed.wait()
        again = await workspace.start()
        assert (again.url, await answers(ready.url)) == (ready.url, True)
        assert await workspace.ticket()


@POSIX
async def test_one_that_keeps_ending_is_not_started_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    starts = tmp_path / "starts"
    ready = json.dumps({"url": "http://127.0.0.1:1", "secret": "s", "client_id": "c"})
    short = f"open({str(starts)!r}, 'a').write('x'); print({ready!r}, flush=True)"
    monkeypatch.setattr(embedded, "_command", lambda: [sys.executable, "-c", short])
    async with supervised(tmp_path / "workspace") as workspace:
        await workspace.start()
        assert workspace._watch is not None
        async with asyncio.timeout(SECONDS):
            await workspace._watch
        assert starts.read_text() == "x" * (1 + embedded.RESTARTS)


@POSIX
async def test_stopping_while_it_is_started_again_leaves_nothing(tmp_path: Path) -> None:
    async with supervised(tmp_path) as workspace:
        await workspace.start()
        pid = pid_of(tmp_path)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: workspace._process is not None and workspace._process.pid != pid)
        restarted = workspace._process
        assert restarted is not None
        await workspace.stop()
        assert not alive(restarted.pid)


PARENT = """
import asyncio, sys
from pathlib import Path
from app.core.embedded import EmbeddedWorkspace

async def main():
    workspace = EmbeddedWorkspace(Path(sys.argv[1]))
    print((await workspace.start()).url, flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print((await workspace.start()).url, flush=True)
    await workspace.stop()

asyncio.run(main())
"""


class User:
    """Another process that uses the workspace of a folder."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def address(self) -> str:
        """The address that it uses."""
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().strip()

    async def ask(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        return await self.address()

    async def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def users(folder: Path, number: int) -> AsyncIterator[list[User]]:
    """Processes started at once; all of them are gone when the block ends."""
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    command = (sys.executable, "-c", PARENT, str(folder))
    started = [User(await asyncio.create_subprocess_exec(*command, **pipes)) for _ in range(number)]
    try:
        yield started
    finally:
        for user in started:
            if user.process.returncode is None:
                await user.kill()


@POSIX
async def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    async with users(tmp_path, 1) as (parent,):
        url = await parent.address()
        assert await answers(url)
        pid = pid_of(tmp_path)
        await parent.kill()
        await until(lambda: not alive(pid))
        assert not await answers(url)


@POSIX
async def test_what_users_and_workspace_leave_beside_each_other_is_private(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        async with supervised(tmp_path / "workspace") as workspace:
            await workspace.start()
            found = [path for path in (tmp_path / "workspace").rglob("*") if path.stat().st_mode & 0o077]
    finally:
        os.umask(before)
    assert found == []


@POSIX
@pytest.mark.parametrize("how", ["leaves", "is killed"])
async def test_it_stays_until_the_last_user_has_gone_whoever_started_it(tmp_path: Path, how: str) -> None:
    async with users(tmp_path, 3) as crowd:
        assert len({await user.address() for user in crowd}) == 1
        pid = pid_of(tmp_path)
        url = await crowd[0].ask()
        for user in crowd[:2]:
            await (user.leave() if how == "leaves" else user.kill())
            await asyncio.sleep(1)
            assert (alive(pid), await answers(url)) == (True, True)
        await crowd[2].leave()
        await until(lambda: not alive(pid))
        assert not (tmp_path / "runtime.json").exists()


@POSIX
async def test_whoever_is_left_starts_it_again_at_the_same_address(tmp_path: Path) -> None:
    async with users(tmp_path, 3) as crowd:
        urls = {await user.address() for user in crowd}
        pid = pid_of(tmp_path)
        await crowd[0].kill()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: (tmp_path / "runtime.json").exists() and pid_of(tmp_path) != pid)
        assert {await user.ask() for user in crowd[1:]} == urls
        assert await answers(urls.pop())


@POSIX
async def test_a_user_that_was_suspended_joins_the_workspace_that_others_started_meanwhile(tmp_path: Path) -> None:
    async with users(tmp_path, 1) as (first,):
        url = await first.address()
        async with users(tmp_path, 1) as (second,):
            assert await second.address() == url
            os.kill(first.process.pid, signal.SIGSTOP)
            former = pid_of(tmp_path)
            os.kill(former, signal.SIGKILL)
            await until(lambda: (tmp_path / "runtime.json").exists() and pid_of(tmp_path) != former)
            present = pid_of(tmp_path)
            os.kill(first.process.pid, signal.SIGCONT)
            assert await first.ask() == url
            await asyncio.sleep(1.5)
            assert pid_of(tmp_path) == present
            assert alive(present)
            await first.leave()
            assert await answers(await second.ask())


@POSIX
async def test_a_workspace_that_was_suspended_gives_way_to_the_one_started_meanwhile(tmp_path: Path) -> None:
    async with users(tmp_path, 1) as (first,):
        suspended_url = await first.address()
        suspended = pid_of(tmp_path)
        os.kill(suspended, signal.SIGSTOP)
        try:
            async with supervised(tmp_path) as second:
                ready = await second.start()
                assert ready.pid != suspended
                # Whoever used the former one follows.
                assert await first.ask() == ready.url != suspended_url
                os.kill(suspended, signal.SIGCONT)
                await until(lambda: not alive(suspended))
                assert pid_of(tmp_path) == ready.pid
                assert await answers(ready.url)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(suspended, signal.SIGCONT)
