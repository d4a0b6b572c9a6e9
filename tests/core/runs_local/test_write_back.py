"""The server learns of a local run: once, in order, and without holding the run up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.core.errors import BurrowError, NotFound, OutcomeUnknown, ServerTrouble
from app.core.posthog.runs import Runs
from app.core.runs.local.agents import LocalAgent
from app.core.runs.local.record import LOG, LocalRecord
from app.core.runs.local.run_log import RunLog
from app.core.runs.local.write_back import WriteBack
from app.core.runs.local.written import BATCH_ENTRIES, load_written, read_batch
from tests.core.conftest import Rig, signed_in
from tests.core.scripted import Reply, Request

RUNS = "/api/projects/7/tasks/t1/runs/"
# What becomes of a request: answered, answered and the answer lost, or lost before it arrived.
WELL, ANSWER_LOST, REFUSED = "well", "answer lost", "refused"


@dataclass
class Server:
    """Keeps what it is told; `fates` says what becomes of the next requests that change something."""

    rig: Rig
    log: dict[str, list[Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    fates: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rig.server.views[RUNS] = self._runs

    def _runs(self, request: Request) -> Reply:
        if request.method == "GET":
            return Reply(body={"count": 1, "next": None, "results": [*self.runs.values()][::-1]})
        assert json.loads(request.body)["environment"] == "local"
        return self._changed(self._make)

    def _make(self) -> Reply:
        name = f"r{len(self.runs) + 1}"
        self.runs[name] = {"id": name, "environment": "local", "status": "queued", "created_at": "2999-01-01T00:00:00Z"}
        self.log[name] = []
        views = self.rig.server.views
        views[f"{RUNS}{name}/"] = lambda request: self._changed(lambda: self._patch(name, request))
        views[f"{RUNS}{name}/append_log/"] = lambda request: self._changed(lambda: self._append(name, request))
        views[f"{RUNS}{name}/session_logs/"] = lambda request: self._page(name, request)
        return Reply(201, self.runs[name])

    def _patch(self, name: str, request: Request) -> Reply:
        self.runs[name] |= json.loads(request.body)
        return Reply(body=self.runs[name])

    def _append(self, name: str, request: Request) -> Reply:
        self.log[name] += json.loads(request.body)["entries"]
        return Reply(body=self.runs[name])

    def _page(self, name: str, request: Request) -> Reply:
        return Reply(body=json.dumps(self.log[name][int(request.query["offset"][0]) :]))

    def _changed(self, work: Any) -> Reply:
        fate = self.fates.pop(0) if self.fates else WELL
        if fate == REFUSED:
            return Reply(503, {"detail": "Later."})
        reply = work()
        return Reply(drop=True) if fate == ANSWER_LOST else reply


class Run:
    """A run with its log, and what writes it back."""

    def __init__(self, folder: Path, rig: Rig) -> None:
        self.folder = folder
        self.record = LocalRecord(id="local-1", agent=LocalAgent("a", "A", ("a",)), folder="/w", task="t1")
        self.log = RunLog(folder / LOG)
        self.said = 0
        self.calls: Runs | None = Runs(rig.fetcher, lambda: 7)
        self.back = self.again()

    def again(self) -> WriteBack:
        """As after another start of Burrow."""
        self.back = WriteBack(self.folder, lambda: self.record, lambda: self.calls)
        return self.back

    async def say(self, count: int = 1) -> None:
        for _ in range(count):
            self.said += 1
            self.log.notify("_posthog/console", level="info", message=f"{self.said}")
        await self.log.flush()

    async def deliver(self) -> None:
        await self.back.deliver()


def messages(entries: list[Any]) -> list[int]:
    return [int(each["notification"]["params"]["message"]) for each in entries]


@asynccontextmanager
async def written_back(folder: Path) -> AsyncIterator[tuple[Run, Server]]:
    async with signed_in(folder) as rig:
        yield Run(folder / "run", rig), Server(rig)


async def test_nothing_is_sent_while_another_account_is_in_use_and_all_of_it_later(tmp_path: Path) -> None:
    async with written_back(tmp_path) as (run, server):
        calls, run.calls = run.calls, None
        await run.say(3)
        await run.deliver()
        assert not server.runs
        run.calls = calls
        await run.deliver()
        assert messages(server.log["r1"]) == [1, 2, 3]
        assert server.runs["r1"]["status"] == "in_progress"
        assert server.runs["r1"]["state"] == {"burrow_run": "local-1"}


@pytest.mark.parametrize("place", range(3))
async def test_an_answer_that_is_lost_makes_neither_a_second_run_nor_a_double(tmp_path: Path, place: int) -> None:
    """The run is made, then its status told, then its log."""
    async with written_back(tmp_path) as (run, server):
        await run.say(2)
        server.fates = [WELL] * place + [ANSWER_LOST]
        with pytest.raises(OutcomeUnknown):
            await run.deliver()
        await run.say()
        run.again()
        await run.deliver()
        assert messages(server.log["r1"]) == [1, 2, 3]
        assert list(server.runs) == ["r1"]


async def test_what_did_not_arrive_is_sent_once_more_in_the_same_order(tmp_path: Path) -> None:
    async with written_back(tmp_path) as (run, server):
        await run.say(BATCH_ENTRIES + 5)
        server.fates = [WELL, WELL, WELL, REFUSED]
        with pytest.raises(ServerTrouble):
            await run.deliver()
        assert len(server.log["r1"]) == BATCH_ENTRIES
        await run.say()
        run.again()
        await run.deliver()
        assert messages(server.log["r1"]) == list(range(1, BATCH_ENTRIES + 7))


async def test_a_run_that_goes_on_after_its_end_is_another_one_on_the_server(tmp_path: Path) -> None:
    async with written_back(tmp_path) as (run, server):
        await run.say()
        run.record = msgspec.structs.replace(run.record, ended="completed")
        await run.deliver()
        assert server.runs["r1"]["status"] == "completed"
        run.record = msgspec.structs.replace(run.record, ended="")
        await run.say()
        await run.deliver()
        assert (messages(server.log["r1"]), messages(server.log["r2"])) == ([1], [2])
        assert load_written(run.folder).former == ("r1",)


@pytest.mark.parametrize(("left", "cut"), [("completed", False), ("failed", False), ("cancelled", True)])
async def test_a_run_that_nobody_carries_out_any_more_does_not_stay_in_progress_on_the_server(
    tmp_path: Path, left: str, cut: bool
) -> None:
    async with written_back(tmp_path) as (run, server):
        await run.say()
        await run.deliver()
        assert server.runs["r1"]["status"] == "in_progress"
        run.record = msgspec.structs.replace(run.record, left=left, cut=cut)
        for _ in range(2):
            run.again()
            await run.deliver()
        assert server.runs["r1"]["status"] == left
        assert ("error_message" in server.runs["r1"]) == cut
        # Each start of Burrow asks, and makes no further run of it before it goes on.
        assert list(server.runs) == ["r1"]
        # The server never changes a run that has ended.
        run.record = msgspec.structs.replace(run.record, ended="completed" if cut else "cancelled")
        await run.deliver()
        assert server.runs["r1"]["status"] == left
        run.record = msgspec.structs.replace(run.record, ended="", left="", cut=False)
        await run.say()
        await run.deliver()
        assert (server.runs["r2"]["status"], messages(server.log["r2"])) == ("in_progress", [2])


async def test_a_task_that_is_gone_stops_it(tmp_path: Path) -> None:
    async with written_back(tmp_path) as (run, server):
        server.rig.server.views[RUNS] = Reply(404, {"detail": "Not found."})
        await run.say()
        with pytest.raises(NotFound):
            await run.deliver()
        with pytest.raises(BurrowError):
            await run.deliver()
        assert not load_written(run.folder).asked


async def test_a_batch_has_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / LOG
    path.write_bytes(b'{"a":1}\nno json\n{"b":2}\n{"c"')
    batch = read_batch(path, 0)
    assert [bytes(each) for each in batch.entries] == [b'{"a":1}', b'{"b":2}']
    assert batch.end == len(b'{"a":1}\nno json\n{"b":2}\n')
    assert read_batch(path, batch.end) == ((), batch.end)
    path.write_bytes(b'{"x":"' + b"y" * 700_000 + b'"}\n{"z":1}\n')
    assert len(read_batch(path, 0).entries) == 1
