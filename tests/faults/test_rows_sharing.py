"""Rows 82 to 86: several processes on one data folder, and processes that end in the middle of something."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.core.services import Services
from app.core.storage import Scope, Storage
from tests._command import DataFolder, Process, command, environment, started
from tests.conftest import RunningWorkspace
from tests.faults.measure import Measure
from tests.faults.test_rows_processes import signed_in_on
from tests.until import until
from tests.workspace.lab import Lab

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

CREATE = "/api/projects/1/tasks/"
WAITING = [f"Waiting {number}" for number in range(1, 6)]


@contextmanager
def windows(folder: DataFolder, number: int, *arguments: str) -> Iterator[list[Process]]:
    """Windows on one folder, started at once; all of them have ended when the block ends."""
    whole = ("--offscreen", "--data", str(folder.data), *arguments)
    running = [started(*whole, kind="window", stderr=subprocess.DEVNULL) for _ in range(number)]
    try:
        yield running
    finally:
        for process in running:
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


# How long the token endpoint takes, in seconds: longer than whatever else holds up the end of a command, of a window.
SLOW, VERY_SLOW = 3.5, 6.5
# Long enough for a signal that nobody handles to end the process before the answer.
SHORT = 1.0


async def renewing(workspace: RunningWorkspace, folder: Path, seconds: float = SLOW) -> Lab:
    """Somebody is signed in, the token is dead, a refresh token works once, and the token endpoint takes its time."""
    await signed_in_on(workspace, folder)
    lab = Lab(workspace)
    lab.switch("kill-access-token")
    lab.switch("token-endpoint", delay=seconds, times=1)
    return lab


def refreshes(lab: Lab) -> tuple[int, int]:
    counters = lab.counters()
    return counters["refreshes_accepted"], counters["refreshes_rejected"]


def wait_for_refresh(lab: Lab) -> None:
    """Until a refresh request has arrived."""
    deadline = time.monotonic() + 20
    while lab.state()["rules"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


# One handler serves all signals, so how long it waits is proven with the first one.
OTHERS = [(signal.SIGHUP, SHORT), (signal.SIGINT, SHORT)]


@pytest.mark.parametrize(("number", "seconds"), [(signal.SIGTERM, SLOW), *OTHERS])
async def test_row_84_a_command_that_is_ended_stores_the_renewal_that_it_sent(
    tmp_path: Path,
    measure: Measure,
    start_workspace: Callable[..., RunningWorkspace],
    number: signal.Signals,
    seconds: float,
) -> None:
    workspace = start_workspace("--refresh-grace-seconds", "0")
    folder = DataFolder(tmp_path / "data")
    with await renewing(workspace, folder.data, seconds) as lab:
        with folder.start("tasks", "list") as (process, output, said):
            await asyncio.to_thread(wait_for_refresh, lab)
            process.send_signal(number)
            assert await asyncio.to_thread(process.wait, 20) == 128 + number
            assert output.read() == ""
            assert "Traceback" not in said.read()
        assert refreshes(lab) == (1, 0)
        again = await asyncio.to_thread(folder.run, "tasks", "list")
        assert again.returncode == 0, again.stderr
        measure.count_refreshes(lambda: sum(refreshes(lab)))
        measure.expect(R=1)


@pytest.mark.parametrize(("number", "seconds"), [(signal.SIGTERM, VERY_SLOW), *OTHERS])
async def test_row_84_a_window_that_is_ended_stores_the_renewal_that_it_sent(
    tmp_path: Path,
    measure: Measure,
    start_workspace: Callable[..., RunningWorkspace],
    number: signal.Signals,
    seconds: float,
) -> None:
    workspace = start_workspace("--refresh-grace-seconds", "0")
    folder = DataFolder(tmp_path / "data")
    with await renewing(workspace, folder.data, seconds) as lab:
        with windows(folder, 1, "--host", workspace.url) as (window,):
            await asyncio.to_thread(wait_for_refresh, lab)
            window.send_signal(number)
            assert await asyncio.to_thread(window.wait, 20) == 0
        assert refreshes(lab) == (1, 0)
        again = await asyncio.to_thread(folder.run, "tasks", "list")
        assert again.returncode == 0, again.stderr
        measure.count_refreshes(lambda: sum(refreshes(lab)))
        measure.expect(R=1)


async def test_row_84_a_hangup_beside_another_signal_is_one_wish_to_end(
    tmp_path: Path, measure: Measure, start_workspace: Callable[..., RunningWorkspace]
) -> None:
    workspace = start_workspace("--refresh-grace-seconds", "0")
    folder = DataFolder(tmp_path / "data")
    with await renewing(workspace, folder.data, SHORT) as lab:
        with folder.start("tasks", "list") as (process, _, _said):
            await asyncio.to_thread(wait_for_refresh, lab)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.05)
            process.send_signal(signal.SIGHUP)
            assert await asyncio.to_thread(process.wait, 20) == 128 + signal.SIGTERM
        assert refreshes(lab) == (1, 0)
        assert (await asyncio.to_thread(folder.run, "tasks", "list")).returncode == 0
        measure.count_refreshes(lambda: sum(refreshes(lab)))
        measure.expect(R=1)


def under_nohup(*arguments: str) -> subprocess.Popen[bytes]:
    nothing = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(["nohup", *command(*arguments)], env=environment(), **nothing)


@pytest.mark.parametrize("what", ["command", "window"])
async def test_row_84_a_hangup_that_is_to_be_ignored_ends_nothing(
    tmp_path: Path, measure: Measure, workspace: RunningWorkspace, what: str
) -> None:
    folder = DataFolder(tmp_path / "data")
    arguments = ("tasks", "list") if what == "command" else ("--offscreen", "--host", workspace.url)
    with await renewing(workspace, folder.data, SHORT) as lab:
        with under_nohup(*arguments, "--data", str(folder.data)) as process:
            await asyncio.to_thread(wait_for_refresh, lab)
            process.send_signal(signal.SIGHUP)
            if what == "window":
                await asyncio.sleep(1)
                assert process.poll() is None
                process.terminate()
            assert await asyncio.to_thread(process.wait, 20) == 0
        assert refreshes(lab) == (1, 0)
        measure.count_refreshes(lambda: sum(refreshes(lab)))
        measure.expect(R=1)


@pytest.mark.parametrize("what", ["command", "window"])
async def test_row_84_a_second_signal_ends_it_at_once(
    tmp_path: Path, measure: Measure, workspace: RunningWorkspace, what: str
) -> None:
    folder = DataFolder(tmp_path / "data")
    with await renewing(workspace, folder.data) as lab:
        arguments = ("tasks", "list") if what == "command" else ("--offscreen", "--host", workspace.url)
        with folder.start(*arguments, kind=what) as (process, _, said):
            await asyncio.to_thread(wait_for_refresh, lab)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.6)
            assert process.poll() is None
            second = time.monotonic()
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, 10)
            assert time.monotonic() - second < 2
            assert "Traceback" not in said.read()
        # The server has spent the token and gives grace: the next process repeats the renewal from the journal.
        again = await asyncio.to_thread(folder.run, "tasks", "list")
        assert again.returncode == 0, again.stderr
        measure.count_refreshes(lambda: lab.counters()["requests"]["/oauth/token/"] - 1)
        measure.expect(R=2)


def recorded(data: Path) -> dict[str, Any]:
    """What the workspace of a data folder says about itself."""
    return dict(json.loads((data / "workspace" / "runtime.json").read_text("utf-8")))


def test_row_85_staggered_commands_share_one_workspace_and_leave_none(tmp_path: Path, measure: Measure) -> None:
    whole = ("tasks", "list", "--host", "workspace", "--json", "--data", str(tmp_path))
    running = []
    for _ in range(12):
        running.append(started(*whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        time.sleep(0.15)
    for process in running:
        output, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert json.loads(output)
    assert not (tmp_path / "workspace" / "runtime.json").exists()
    measure.expect(R=0)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
async def test_row_85_a_second_window_stays_online_when_the_one_that_started_the_workspace_ends(
    tmp_path: Path, measure: Measure, how: signal.Signals
) -> None:
    folder = DataFolder(tmp_path / "data")
    with windows(folder, 1, "--workspace") as (first,):
        await until(lambda: (folder.data / "workspace" / "runtime.json").exists(), 20, pause=0.1)
        ready = recorded(folder.data)
        with windows(folder, 1, "--workspace"):
            leases = folder.data / "workspace" / "leases"
            await until(lambda: len(list(leases.glob("user-*"))) == 2, 20, pause=0.1)
            first.send_signal(how)
            await asyncio.to_thread(first.wait, 10)
            await asyncio.sleep(1)
            assert recorded(folder.data) == ready
            # The workspace dies too: the window starts it again where it was.
            os.kill(ready["pid"], signal.SIGKILL)

            def again() -> bool:
                return recorded(folder.data)["pid"] != ready["pid"]

            await until(again, 20, pause=0.1)
            assert recorded(folder.data)["url"] == ready["url"]
    await until(lambda: not (folder.data / "workspace" / "runtime.json").exists(), 10)
    measure.expect(R=0)


@pytest.mark.parametrize("where", ["full", "closed", "left"])
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["words", "json"])
async def test_row_86_a_task_that_was_created_is_told_on_standard_error(
    tmp_path: Path, measure: Measure, workspace: RunningWorkspace, where: str, form: tuple[str, ...]
) -> None:
    folder = DataFolder(tmp_path / "data")
    with signed_in(folder, workspace) as lab:
        create = ("tasks", "create", "Do it", "--title", WAITING[0], *form)
        outcome = await asyncio.to_thread(unwritable, folder, where, *create)
        assert outcome.returncode == 0, outcome.stderr
        assert "Standard output could not be written" in outcome.stderr
        header = {"Authorization": f"Bearer {lab.state()['personal_api_key']}"}
        found = lab.http.get(CREATE, params={"limit": 100}, headers=header).json()["results"]
        [made] = [task for task in found if task["title"] == WAITING[0]]
        assert made["id"] in outcome.stderr
        measure.count_effects(lambda: len(created(lab)) - 1)
        measure.expect(R=0)


@pytest.mark.parametrize("where", ["full", "closed"])
async def test_row_86_a_command_that_only_reads_fails_and_an_error_keeps_its_exit_code(
    tmp_path: Path, measure: Measure, workspace: RunningWorkspace, where: str
) -> None:
    folder = DataFolder(tmp_path / "data")
    with signed_in(folder, workspace):
        outcome = await asyncio.to_thread(unwritable, folder, where, "tasks", "list")
        assert outcome.returncode == 1
        assert "Standard output could not be written" in outcome.stderr
        missing = await asyncio.to_thread(unwritable, folder, where, "tasks", "show", "NOPE-1", "--json")
        assert missing.returncode == 5
    measure.expect(R=0)


@pytest.mark.parametrize("streams", ["<&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full 2>/dev/full"])
async def test_row_86_a_command_without_its_standard_streams_does_what_it_is_asked_once(
    tmp_path: Path, measure: Measure, workspace: RunningWorkspace, streams: str
) -> None:
    folder = DataFolder(tmp_path / "data")
    with signed_in(folder, workspace) as lab:
        create = command("tasks", "create", "Do it", "--title", WAITING[0], "--data", str(folder.data))
        shell = ["sh", "-c", f'exec "$@" {streams}', "sh", *create]
        outcome = await asyncio.to_thread(subprocess.run, shell, env=environment(), capture_output=True, timeout=40)
        assert outcome.returncode == 0
        assert created(lab) == WAITING[:1]
        measure.count_effects(lambda: len(created(lab)) - 1)
        measure.expect(R=0)


def unwritable(folder: DataFolder, where: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard output is a full disk, closed, or a pipe whose reader has left."""
    whole = command(*arguments, "--data", str(folder.data))
    if where != "left":
        redirect = ">/dev/full" if where == "full" else ">&-"
        whole = ["sh", "-c", f'exec "$@" {redirect}', "sh", *whole]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        outcome = subprocess.run(
            whole, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment(), timeout=40, check=False
        )
    finally:
        os.close(writer)
    assert "Traceback" not in outcome.stderr
    assert "Exception" not in outcome.stderr
    return outcome
