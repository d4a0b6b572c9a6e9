"""Rows 82 to 86: several processes on one data folder, and processes that end in the middle of something."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.core.services import Services
from app.core.storage import Scope, Storage
from tests._command import DataFolder, command, environment
from tests.conftest import RunningWorkspace
from tests.faults.measure import Measure
from tests.until import until
from tests.workspace.lab import Lab

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

CREATE = "/api/projects/1/tasks/"
WAITING = [f"Waiting {number}" for number in range(1, 6)]


@contextmanager
def windows(folder: DataFolder, number: int, *arguments: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Windows on one folder, started at once; all of them have ended when the block ends."""
    whole = command("--offscreen", "--data", str(folder.data), *arguments)
    started = [subprocess.Popen(whole, env=environment(), stderr=subprocess.DEVNULL) for _ in range(number)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait(10)


def signed_in(folder: DataFolder, workspace: RunningWorkspace) -> Lab:
    lab = Lab(workspace)
    key = lab.state()["personal_api_key"]
    outcome = folder.run("login", "--host", workspace.url, "--token", "-", "--store", "file", stdin=key)
    assert outcome.returncode == 0, outcome.stderr
    return lab


async def leave_unsent(folder: Path) -> Scope:
    """Five tasks that wait for the connection, as a window leaves them behind."""
    services = Services(folder)
    named = services.remembered_host()
    assert named is not None
    backend = await services.connect(await services.resolve(named))
    await backend.ready()
    scope, project = backend.scope, backend.require_project()
    assert scope is not None
    for title in WAITING:
        payload = {"title": title, "description": "", "repository": None, "project": project}
        await services.storage.outbox.add(scope, "task.create", payload, state="waiting-connection")
    await services.close()
    return scope


def created(lab: Lab) -> list[str]:
    """The titles that waited, as often as there are tasks of that title, the oldest task first."""
    header = {"Authorization": f"Bearer {lab.state()['personal_api_key']}"}
    found = lab.http.get(CREATE, params={"limit": 100}, headers=header).json()["results"]
    return [task["title"] for task in sorted(found, key=lambda task: task["created_at"]) if task["title"] in WAITING]


async def unsent(folder: Path, scope: Scope) -> list[tuple[str, bool]]:
    """The states of what waits, and whether a process has claimed it."""
    storage = Storage.open(folder)
    found = [(item.state, item.claimed_elsewhere) for item in await storage.outbox.list(scope)]
    await storage.close()
    return found


async def test_row_82_three_windows_send_five_waiting_tasks_once_each_and_in_order(
    tmp_path: Path, measure: Measure, workspace: RunningWorkspace
) -> None:
    folder = DataFolder(tmp_path / "data")
    with signed_in(folder, workspace) as lab:
        scope = await leave_unsent(folder.data)
        lab.switch("path", path=CREATE, method="POST", delay=0.4)
        with windows(folder, 3):

            async def sent() -> bool:
                return await unsent(folder.data, scope) == []

            await until(sent, 25, pause=0.1)
            # A window that had read the outbox before would send its copy now.
            await asyncio.sleep(1)
        titles = created(lab)
        assert titles == WAITING
        measure.count_effects(lambda: len(titles) - len(set(titles)))
    measure.expect(R=0)


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_row_83_of_a_window_that_dies_while_it_sends_the_others_repeat_nothing_that_may_have_arrived(
    tmp_path: Path, measure: Measure, workspace: RunningWorkspace, how: str
) -> None:
    folder = DataFolder(tmp_path / "data")
    with signed_in(folder, workspace) as lab:
        scope = await leave_unsent(folder.data)
        lab.switch("path", path=CREATE, method="POST", delay=3, times=1)
        with windows(folder, 1) as (sender,):

            async def sending() -> bool:
                return ("sending", True) in await unsent(folder.data, scope)

            await until(sending, 20, pause=0.05)
            await asyncio.to_thread(_wait_for_post, lab)
            with windows(folder, 1):
                os.kill(sender.pid, signal.SIGKILL if how == "killed" else signal.SIGSTOP)
                if how == "killed":
                    sender.wait(5)

                    async def others_sent() -> bool:
                        return await unsent(folder.data, scope) == [("sending", False)]

                    await until(others_sent, 20, pause=0.1)
                else:
                    # Nothing of it is taken over, and nothing overtakes it.
                    await asyncio.sleep(5)
                    assert await unsent(folder.data, scope) == [("sending", True)] + [("waiting-connection", False)] * 4
                    os.kill(sender.pid, signal.SIGCONT)

                    async def all_sent() -> bool:
                        return await unsent(folder.data, scope) == []

                    await until(all_sent, 20, pause=0.1)
        titles = created(lab)
        # The first one has perhaps arrived and is asked about; the others have, in order.
        assert [title for title in titles if title != WAITING[0]] == WAITING[1:]
        measure.count_effects(lambda: len(titles) - len(set(titles)))
    measure.expect(R=0)


def _wait_for_post(lab: Lab) -> None:
    """Until the request that creates the first task has arrived."""
    deadline = time.monotonic() + 10
    while any(rule["path"] == CREATE for rule in lab.state()["rules"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
