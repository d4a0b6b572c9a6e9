"""A tool that asks is allowed for one call and set back after it: on a real workspace, with processes that die."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.core.backend import Backend
from app.core.errors import PolicyRefused, StorageTrouble
from app.core.lab import Lab
from app.core.services import WORKSPACE_FOLDER, Services
from app.core.storage import RaisedPolicy
from tests.conftest import RunningWorkspace
from tests.core._single_call_process import MESSAGE
from tests.forks import Forked

PROXY = "*/proxy/"
TOOL = "send_message"


@pytest.fixture(autouse=True)
def embedded(tmp_path: Path, start_workspace: Callable[..., RunningWorkspace]) -> RunningWorkspace:
    """The workspace of the data folder runs already, forked with what it imports."""
    return start_workspace(data=tmp_path / WORKSPACE_FOLDER)


class Rig:
    """Burrow on a workspace whose installed server is Postbox; `send_message` asks there."""

    def __init__(self, services: Services, backend: Backend, lab: Lab, postbox: str) -> None:
        self.services, self.backend, self.lab, self.postbox = services, backend, lab, postbox

    def call(self, *, once: bool = True) -> asyncio.Task[object]:
        started = self.services.servers.start_call(self.postbox, TOOL, MESSAGE, once=once)
        return started.task  # type: ignore[return-value]

    async def enforced(self) -> str:
        """What the store's proxy goes by."""
        found = await self.backend.store.tools(self.postbox)
        return next(tool.approval_state for tool in found if tool.tool_name == TOOL)

    async def shown(self) -> str | None:
        """What the window shows after it asked again."""
        rows = await self.services.servers.tools(self.postbox, refresh=True)
        return next(row.policy for row in rows if row.name == TOOL)

    async def recorded(self) -> tuple[RaisedPolicy, ...]:
        assert self.backend.scope is not None
        return await self.services.storage.raised_policies.all(self.backend.scope)

    async def until(self, state: str) -> None:
        async with asyncio.timeout(10):
            while await self.enforced() != state:  # noqa: ASYNC110 - another process changes it
                await asyncio.sleep(0.02)

    async def settled(self) -> None:
        async with asyncio.timeout(10):
            while await self.recorded():  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.02)


@asynccontextmanager
async def rig(folder: Path) -> AsyncIterator[Rig]:
    services = Services(folder)
    try:
        backend = await services.connect(await services.start_workspace())
        await backend.ready()
        assert backend.lab is not None
        postbox = next(server.id for server in await services.servers.list() if server.title == "Postbox")
        await services.servers.tools(postbox)
        yield Rig(services, backend, backend.lab, postbox)
    finally:
        await services.close()


async def test_a_call_that_fails_leaves_the_policy_as_it_was(tmp_path: Path) -> None:
    async with rig(tmp_path) as on:
        await on.lab.path_fault(PROXY, status=400, body={"detail": "no"}, times=50)
        with pytest.raises(Exception, match="no"):
            await on.call()
        await on.settled()
        assert await on.enforced() == "needs_approval"


async def test_a_tool_that_cannot_be_written_down_is_not_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as on:

        async def refused(*_: object) -> RaisedPolicy:
            raise StorageTrouble("The disk is full.")

        monkeypatch.setattr(on.services.storage.raised_policies, "add", refused)
        with pytest.raises(StorageTrouble):
            await on.call()
        assert await on.enforced() == "needs_approval"


async def test_one_call_runs_and_the_next_one_is_refused_again(tmp_path: Path) -> None:
    async with rig(tmp_path) as on:
        await on.call()
        await on.settled()
        assert await on.enforced() == "needs_approval"
        with pytest.raises(PolicyRefused, match="approval"):
            await on.call(once=False)


async def test_while_the_call_runs_the_window_still_shows_what_the_user_decided(tmp_path: Path) -> None:
    async with rig(tmp_path) as on:
        await on.lab.slow(1.0, PROXY)
        running = on.call()
        await on.until("approved")
        assert await on.shown() == "needs_approval"
        await running
        await on.settled()


async def test_of_several_calls_the_last_one_sets_the_policy_back(tmp_path: Path) -> None:
    async with rig(tmp_path) as on:
        await on.call()
        await on.settled()
        await on.lab.slow(0.6, PROXY)
        first = on.call()
        await on.until("approved")
        second = on.call()
        third = on.call()
        second.cancel()
        await first
        assert await on.enforced() == "approved"
        await third
        await on.settled()
        assert await on.enforced() == "needs_approval"


@pytest.mark.parametrize("decided", ["approved", "do_not_use", "needs_approval"])
async def test_what_the_user_decides_during_the_call_holds_after_it(tmp_path: Path, decided: str) -> None:
    async with rig(tmp_path) as on:
        await on.lab.slow(0.6, PROXY)
        running = on.call()
        await on.until("approved")
        await on.services.servers.set_policy(on.postbox, TOOL, decided)
        assert await on.recorded() == ()
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()
        assert await on.enforced() == decided
        assert await on.shown() == decided


async def test_a_policy_that_cannot_be_set_back_is_tried_again_and_told_meanwhile(tmp_path: Path) -> None:
    async with rig(tmp_path) as on:
        calls = on.backend.single_calls
        calls._pauses = (0.05, 0.1)
        told: list[tuple[RaisedPolicy, ...]] = []
        calls.changed.subscribe(lambda _nothing: told.append(calls.still_allowed))
        await on.lab.slow(0.5, PROXY)
        running = on.call()
        await on.until("approved")
        await on.lab.path_fault("*/tools/*", status=503, body={"detail": "down"}, times=12)
        await running
        async with asyncio.timeout(10):
            while not told:  # noqa: ASYNC110 - the event has no waiter
                await asyncio.sleep(0.01)
        assert [row.tool for row in told[0]] == [TOOL]
        await on.settled()
        assert await on.enforced() == "needs_approval"
        assert calls.still_allowed == ()


class Other:
    """Another process on the same data, which has allowed the tool and waits for its answer."""

    def __init__(self, folder: Path) -> None:
        module, pipes = "tests.core._single_call_process", {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process: subprocess.Popen[str] | Forked
        if sys.platform == "win32":
            self.process = subprocess.Popen([sys.executable, "-m", module, str(folder)], text=True, **pipes)
        else:
            self.process = Forked("command", module, (str(folder),), **pipes)
        assert self.hear() == "ready"

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def begin(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("begin\n")
        self.process.stdin.flush()
        return self.hear()

    def kill(self) -> None:
        self.process.kill()
        with self.process:
            self.process.wait(10)


@asynccontextmanager
async def other_calling(on: Rig, folder: Path) -> AsyncIterator[Other]:
    other = await asyncio.to_thread(Other, folder)
    try:
        await on.lab.slow(20.0, PROXY)
        assert await asyncio.to_thread(other.begin) == "allowed"
        yield other
    finally:
        other.kill()


async def test_what_a_killed_process_had_allowed_is_set_back_by_one_that_lives(tmp_path: Path) -> None:
    async with rig(tmp_path) as on, other_calling(on, tmp_path) as other:
        on.backend.single_calls.set_back_soon()
        await asyncio.sleep(0)
        assert await on.enforced() == "approved", "its owner lives"
        await asyncio.to_thread(other.kill)
        on.backend.single_calls.set_back_soon()
        await on.settled()
        assert await on.enforced() == "needs_approval"


async def test_what_a_killed_process_had_allowed_is_set_back_at_the_next_start(tmp_path: Path) -> None:
    async with rig(tmp_path) as on:
        async with other_calling(on, tmp_path):
            pass
        assert await on.enforced() == "approved"
        # Another start of Burrow beside this one, which keeps the workspace running.
        services = Services(tmp_path)
        try:
            await (await services.connect(await services.start_workspace())).ready()
            await on.settled()
            assert await on.enforced() == "needs_approval"
        finally:
            await services.close()


async def test_a_call_of_a_living_process_keeps_its_policy_whoever_else_ends_one(tmp_path: Path) -> None:
    async with rig(tmp_path) as on, other_calling(on, tmp_path) as other:
        mine = on.call()
        async with asyncio.timeout(10):
            while len(await on.recorded()) < 2:  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.02)
        mine.cancel()
        async with asyncio.timeout(10):
            while len(await on.recorded()) > 1:  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.02)
        assert await on.enforced() == "approved"
        await asyncio.to_thread(other.kill)
        await on.services.servers.tools(on.postbox)
        on.backend.single_calls.set_back_soon()
        await on.settled()
        assert await on.enforced() == "needs_approval"
