"""Rows 10 to 14 and 19 in processes of their own, some of which are killed with SIGKILL."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from app.core.auth.grant.grant import Grant
from app.core.auth.tokens import TokenSet
from app.core.fetcher import plain_json
from app.core.lab import SECRET_HEADER, Lab
from app.core.posthog.profile import sign_in_with_ticket
from app.core.services import Services
from app.core.storage import Storage
from tests._command import started
from tests.conftest import RunningWorkspace
from tests.core.conftest import Rig, client_of
from tests.core.scripted import DEAD, Issuer, Reply, Request, ScriptedServer
from tests.faults.measure import TOKEN_ENDPOINT, Measure
from tests.faults.processes import crew, good
from tests.faults.worker import STEPS
from tests.until import until

PATH = "/api/x/"
MANY = [2, 5, 10]


@asynccontextmanager
async def stored(folder: Path, measure: Measure, *, past: bool = False) -> AsyncIterator[Rig]:
    """A server, and a grant of it in `folder` that no process holds yet; `past` its time by the clock."""
    async with ScriptedServer() as server:
        issuer = Issuer(server)
        storage = Storage.open(folder)
        rig = client_of(server, issuer, folder, remembered=storage.settings, log=storage.grants)
        now = rig.credential.oauth.time.now()
        tokens = rig.issuer.pair
        made = TokenSet(tokens["access_token"], tokens["refresh_token"], now - 7200, now + 3600, generation=1)
        await rig.credential.sign_in(Grant(replace(made, expires_at=now - 1) if past else made, "client"), "test")
        await rig.credential.close()
        await rig.transport.close()
        await storage.close()
        server.views[PATH] = issuer.guard()
        before = server.requests[TOKEN_ENDPOINT]
        measure.count_refreshes(lambda: server.requests[TOKEN_ENDPOINT] - before)
        yield rig


@pytest.mark.parametrize("processes", MANY)
async def test_row_11_processes_that_share_a_token_past_its_time_renew_it_once(
    tmp_path: Path, measure: Measure, processes: int
) -> None:
    async with stored(tmp_path, measure, past=True) as rig, crew(tmp_path, rig.server.origin, measure) as team:
        rig.issuer.grace = False
        workers = await asyncio.gather(*(team.start() for _ in range(processes)))
        answers = await asyncio.gather(*(worker.ask(f"get {PATH} 5") for worker in workers))
        assert all(map(good, answers))
        assert "pha_1" not in {request.bearer for request in rig.server.seen}
    measure.expect(R=1)


async def signed_in_on(workspace: RunningWorkspace, folder: Path) -> Lab:
    """Sign in to the workspace as its first-party client, whose refresh tokens rotate in place."""
    services = Services(folder)
    await services.use_client_id(workspace.url, "burrow-first-party")
    backend = await services.connect(await services.resolve(workspace.url), restore=False)
    await backend.credential.choose_store("file")
    answer = await plain_json("POST", f"{workspace.url}/_tickets", headers={SECRET_HEADER: workspace.secret})
    await sign_in_with_ticket(backend.credential, answer["ticket"])
    await services.close()
    return Lab(workspace.url, workspace.secret)


async def test_row_12_commands_started_at_once_on_a_dead_token_renew_it_once(
    tmp_path: Path, measure: Measure, workspace: RunningWorkspace
) -> None:
    lab = await signed_in_on(workspace, tmp_path)
    await lab.kill_access_token()
    command = ("tasks", "list", "--json", "--data", str(tmp_path))
    running = [started(*command, stdout=subprocess.PIPE) for _ in range(5)]
    for process in running:
        output, _ = await asyncio.to_thread(process.communicate)
        assert process.returncode == 0
        assert json.loads(output)
    counters = (await lab.state())["counters"]
    assert (counters["refreshes_accepted"], counters["refreshes_rejected"]) == (1, 0)
    measure.count_refreshes(lambda: counters["refreshes_accepted"] + counters["refreshes_rejected"])
    measure.expect(R=1)


@pytest.mark.parametrize("processes", MANY)
async def test_row_12_processes_that_share_a_dead_token_renew_it_once(
    tmp_path: Path, measure: Measure, processes: int
) -> None:
    async with stored(tmp_path, measure) as rig, crew(tmp_path, rig.server.origin, measure) as team:
        rig.issuer.grace = False
        workers = await asyncio.gather(*(team.start() for _ in range(processes)))
        rig.issuer.kill()
        answers = await asyncio.gather(*(worker.ask(f"get {PATH} 5") for worker in workers))
        assert all(map(good, answers))
        assert not rig.issuer.revoked
    measure.expect(R=1)


async def test_row_10_processes_together_are_stopped_after_three_renewals(tmp_path: Path, measure: Measure) -> None:
    async with stored(tmp_path, measure) as rig, crew(tmp_path, rig.server.origin, measure) as team:
        rig.server.views[PATH] = DEAD
        workers = await asyncio.gather(*(team.start() for _ in range(3)))
        for _ in range(4):
            answers = await asyncio.gather(*(worker.ask(f"get {PATH} 3") for worker in workers))
        assert {outcome.partition(":")[0] for answer in answers for outcome in answer["outcomes"]} == {"ServerTrouble"}
        assert {answer["state"] for answer in answers} == {"signed_in"}
    measure.expect(R=3)


class Withheld:
    """The token endpoint renews, and keeps its answers to itself until `release`."""

    def __init__(self, rig: Rig) -> None:
        self.committed = asyncio.Event()
        self.release = asyncio.Event()
        honest = rig.server.views[TOKEN_ENDPOINT]

        async def withhold(request: Request) -> Reply:
            assert callable(honest)
            answer = honest(request)
            answer = answer if isinstance(answer, Reply) else await answer
            self.committed.set()
            await self.release.wait()
            return answer

        rig.server.views[TOKEN_ENDPOINT] = withhold


@pytest.mark.parametrize("step", [*STEPS, "sent"])
async def test_row_13_when_the_process_that_renews_is_killed_the_next_one_takes_over_at_once(
    tmp_path: Path, measure: Measure, step: str
) -> None:
    async with stored(tmp_path, measure) as rig, crew(tmp_path, rig.server.origin, measure) as team:
        waiting = await team.start()
        rig.issuer.kill()
        if step == "sent":
            withheld = Withheld(rig)
            holder = await team.start()
            holder.tell(f"get {PATH} 1")
            await withheld.committed.wait()
        else:
            holder = await team.start("--hang-at", step)
            holder.tell(f"get {PATH} 1")
            assert await holder.read() == {"at": step}
        waiting.tell(f"get {PATH} 5")
        await asyncio.sleep(0.2)
        killed = time.monotonic()
        await holder.kill()
        if step == "sent":
            withheld.release.set()
        assert good(await waiting.read())
        assert time.monotonic() - killed < 10
        assert (rig.issuer.accepted, rig.issuer.rejected, rig.issuer.revoked) == (1, 0, False)
    measure.expect(R=2 if step in {"sent", "answered"} else 1)


@pytest.mark.parametrize("step", [*STEPS, "sent"])
async def test_row_19_no_step_of_a_renewal_at_which_a_process_dies_costs_a_sign_in(
    tmp_path: Path, measure: Measure, step: str
) -> None:
    async with stored(tmp_path, measure) as rig, crew(tmp_path, rig.server.origin, measure) as team:
        rig.issuer.kill()
        if step == "sent":
            withheld = Withheld(rig)
            holder = await team.start()
            holder.tell(f"get {PATH} 1")
            await withheld.committed.wait()
            await holder.kill()
            withheld.release.set()
        else:
            holder = await team.start("--hang-at", step)
            holder.tell(f"get {PATH} 1")
            assert await holder.read() == {"at": step}
            await holder.kill()
        before = rig.server.requests[TOKEN_ENDPOINT]
        again = await team.start()
        if step in {"written down", "sent", "answered"}:
            # Repeated at the start, before anybody asks: the grace does not wait.
            await until(lambda: rig.server.requests[TOKEN_ENDPOINT] > before, 10)
        assert good(await again.ask(f"get {PATH} 5"))
        assert (rig.issuer.accepted, rig.issuer.rejected, rig.issuer.revoked) == (1, 0, False)
    measure.expect(R=2 if step in {"sent", "answered"} else 1)


@pytest.mark.parametrize("step", ["sent", "answered"])
async def test_row_19_without_grace_it_costs_one_more_try_and_one_sign_in(
    tmp_path: Path, measure: Measure, step: str
) -> None:
    async with stored(tmp_path, measure) as rig, crew(tmp_path, rig.server.origin, measure) as team:
        rig.issuer.kill()
        rig.issuer.grace = False
        if step == "sent":
            withheld = Withheld(rig)
            holder = await team.start()
            holder.tell(f"get {PATH} 1")
            await withheld.committed.wait()
            await holder.kill()
            withheld.release.set()
        else:
            holder = await team.start("--hang-at", step)
            holder.tell(f"get {PATH} 1")
            await holder.read()
            await holder.kill()
        again = await team.start()
        answer = await again.ask(f"get {PATH} 5")
        assert {outcome.partition(":")[0] for outcome in answer["outcomes"]} == {"SignInNeeded"}
        assert {outcome.partition(":")[0] for outcome in (await again.ask(f"get {PATH} 5"))["outcomes"]} == {
            "SignInNeeded"
        }
    measure.expect(R=2, B=1)


async def test_row_14_a_process_that_hangs_in_a_renewal_is_not_overtaken(tmp_path: Path, measure: Measure) -> None:
    async with stored(tmp_path, measure) as rig, crew(tmp_path, rig.server.origin, measure) as team:
        rig.issuer.kill()
        rig.issuer.grace = False
        withheld = Withheld(rig)
        holder = await team.start()
        holder.tell(f"get {PATH} 1")
        await withheld.committed.wait()
        other = await team.start("--lock-seconds", "0.5")
        answer = await other.ask(f"get {PATH} 3")
        assert {outcome.partition(":")[0] for outcome in answer["outcomes"]} == {"LockBusy"}
        assert rig.server.requests[TOKEN_ENDPOINT] == 1
        withheld.release.set()
        assert good(await holder.read())
        # What the holder stored in the end is taken over, without another word to the server.
        await other.ask("wake")
        assert good(await other.ask(f"get {PATH} 3"))
        assert not rig.issuer.revoked
    measure.expect(R=1)


async def test_row_17_a_process_that_signs_out_takes_the_others_with_it(tmp_path: Path, measure: Measure) -> None:
    async with stored(tmp_path, measure) as rig, crew(tmp_path, rig.server.origin, measure) as team:
        first, second = await asyncio.gather(team.start(), team.start())
        assert (await first.ask("sign-out"))["state"] == "signed_out"

        async def noticed() -> bool:
            return (await second.ask("state"))["state"] == "signed_out"

        await until(noticed, 10, pause=0.1)
        assert await rig.stored() is None
        assert rig.issuer.revoked
    measure.expect(R=0)
