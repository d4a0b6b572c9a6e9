"""The calls of a run against a scripted server: what is sent, what refusals become, and where no token goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.core.errors import BurrowError, NotFound, OutcomeUnknown, Rejected, ServerTrouble
from app.core.posthog.run_errors import AgentNotReady, AgentUnreachable, CommandRefused, RunOver, StreamTokenRefused
from app.core.posthog.runs import RunChange, Runs, StreamedEvent
from tests.core.conftest import Rig, signed_in
from tests.core.scripted import DEAD, Reply, Request, ScriptedServer

RUN = "/api/projects/7/tasks/t1/runs/r1/"
COMMAND = f"{RUN}command/"


@asynccontextmanager
async def runs_of(folder: Path) -> AsyncIterator[tuple[Runs, Rig]]:
    async with signed_in(folder) as rig:
        yield Runs(rig.fetcher, lambda: 7), rig


def streamed(*events: str) -> Reply:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write("".join(events).encode())
        await writer.drain()

    return Reply(stream=write)


async def read(runs: Runs, **options: object) -> list[StreamedEvent]:
    async with runs.stream("t1", "r1", **options) as events:  # type: ignore[arg-type]
        return [event async for event in events]


async def test_a_page_of_the_log_says_whether_others_follow(tmp_path: Path) -> None:
    async with runs_of(tmp_path) as (runs, rig):
        rig.server.views[f"{RUN}session_logs/"] = Reply(body="[1]", headers={"X-Has-More": "true"})
        assert await runs.log_page("t1", "r1", offset=10) == (b"[1]", True)
        assert rig.server.seen[-1].query == {"limit": ["5000"], "offset": ["10"]}


async def test_a_stored_log_is_read_without_the_token_and_its_address_asked_for_again(tmp_path: Path) -> None:
    async with runs_of(tmp_path) as (runs, rig), ScriptedServer() as storage:
        addresses = [f"{storage.origin}/expired", f"{storage.origin}/log"]
        rig.server.views[RUN] = lambda request: Reply(body={"id": "r1", "log_url": addresses.pop(0)})
        storage.views["/expired"] = Reply(403, "<Error>Request has expired</Error>")
        storage.views["/log"] = Reply(body=b'{"a": 1}\n')
        assert await runs.whole_log("t1", "r1") == b'{"a": 1}\n'
        assert [request.bearer for request in storage.seen] == ["", ""]
        assert rig.issuer.accepted == 0


@pytest.mark.parametrize("url", [None, "/nothing"])
async def test_a_log_that_is_not_written_yet_is_empty(tmp_path: Path, url: str | None) -> None:
    async with runs_of(tmp_path) as (runs, rig):
        rig.server.views[RUN] = Reply(body={"id": "r1", "log_url": url and f"{rig.server.origin}{url}"})
        assert await runs.whole_log("t1", "r1") == b""


async def test_a_stream_is_opened_where_it_was_left(tmp_path: Path) -> None:
    async with runs_of(tmp_path) as (runs, rig):
        rig.server.views[f"{RUN}stream/"] = streamed("id: log-5\ndata: x\n\n", "event: keepalive\ndata: {}\n\n")
        assert await read(runs, last_event_id="log-4", latest=True) == [
            ("", "log-5", "x"),
            ("keepalive", "log-5", "{}"),
        ]
        asked = rig.server.seen[-1]
        assert (asked.headers["last-event-id"], asked.query) == ("log-4", {"start": ["latest"]})


async def test_a_stream_of_another_server_has_its_own_token_and_never_the_persons(tmp_path: Path) -> None:
    async with runs_of(tmp_path) as (runs, rig), ScriptedServer() as proxy:
        tokens = ["old-stream-token", "new-stream-token"]

        def place(request: Request) -> Reply:
            return Reply(body={"token": tokens.pop(0), "stream_base_url": proxy.origin})

        def view(request: Request) -> Reply:
            return streamed("data: x\n\n") if request.bearer == "new-stream-token" else Reply(401, {"error": "expired"})

        rig.server.views[f"{RUN}stream_token/"] = place
        proxy.views["/v1/runs/r1/stream"] = view
        assert [event.data for event in await read(runs)] == ["x"]
        assert [request.bearer for request in proxy.seen] == ["old-stream-token", "new-stream-token"]
        assert rig.issuer.accepted == 0


async def test_a_stream_token_that_is_refused_twice_says_nothing_of_the_sign_in(tmp_path: Path) -> None:
    async with runs_of(tmp_path) as (runs, rig), ScriptedServer() as proxy:
        token = {"token": "stream-token-value", "stream_base_url": proxy.origin}
        rig.server.views[f"{RUN}stream_token/"] = Reply(body=token)
        proxy.views["/v1/runs/r1/stream"] = DEAD
        with pytest.raises(StreamTokenRefused):
            await read(runs)
        assert rig.issuer.accepted == 0


async def test_a_stream_is_not_read_without_encryption_from_elsewhere(tmp_path: Path) -> None:
    async with runs_of(tmp_path) as (runs, rig):
        token = {"token": "stream-token-value", "stream_base_url": "http://streams.example"}
        rig.server.views[f"{RUN}stream_token/"] = Reply(body=token)
        with pytest.raises(Rejected):
            await read(runs)


async def test_too_many_streams_say_how_long_to_wait(tmp_path: Path) -> None:
    async with runs_of(tmp_path) as (runs, rig):
        rig.server.views[f"{RUN}stream/"] = Reply(503, {"detail": "Too many."}, {"Retry-After": "7"})
        with pytest.raises(ServerTrouble) as refused:
            await read(runs)
        assert refused.value.facts.retry_after == 7


async def test_a_command_is_told_to_the_agent_and_its_result_read(tmp_path: Path) -> None:
    async with runs_of(tmp_path) as (runs, rig):
        rig.server.views[COMMAND] = Reply(body={"jsonrpc": "2.0", "id": "x", "result": {"queued": True}})
        assert bytes(await runs.command("t1", "r1", "user_message", {"content": "Hi"})) == b'{"queued": true}'
        sent = json.loads(rig.server.seen[-1].body)
        assert (sent["jsonrpc"], sent["method"], sent["params"]) == ("2.0", "user_message", {"content": "Hi"})


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(body={"error": {"code": -32000, "message": "No pending permission request"}}), CommandRefused),
        (Reply(409, {"detail": "Task run workflow has ended"}), RunOver),
        (Reply(400, {"type": "runtime_unavailable", "code": "sandbox_not_ready", "detail": "No"}), AgentNotReady),
        (Reply(502, {"detail": "unreachable"}), AgentUnreachable),
        (Reply(504, {"detail": "slow"}), AgentUnreachable),
        (Reply(500, {"detail": "?"}), OutcomeUnknown),
        (Reply(drop=True), OutcomeUnknown),
        (Reply(404, {"code": "not_found"}), NotFound),
    ],
)
async def test_what_a_command_is_refused_with_is_typed_and_never_refreshes(
    tmp_path: Path, reply: Reply, kind: type[BurrowError]
) -> None:
    async with runs_of(tmp_path) as (runs, rig):
        rig.server.views[COMMAND] = reply
        with pytest.raises(kind) as refused:
            await runs.command("t1", "r1", "cancel", {})
        assert type(refused.value) is kind
        assert (rig.issuer.accepted, rig.server.requests[COMMAND]) == (0, 1)


async def test_a_command_heals_a_dead_token_once(tmp_path: Path) -> None:
    async with runs_of(tmp_path) as (runs, rig):
        live = rig.issuer.guard()
        rig.server.views[COMMAND] = lambda request: (
            Reply(body={"result": {"cancelled": True}}) if live(request).status == 200 else DEAD  # type: ignore[union-attr]
        )
        rig.issuer.kill()
        await runs.command("t1", "r1", "cancel", {})
        assert rig.issuer.accepted == 1


async def test_a_run_is_cancelled_and_one_that_had_ended_is_said(tmp_path: Path) -> None:
    async with runs_of(tmp_path) as (runs, rig):
        rig.server.views[f"{RUN}cancel/"] = Reply(202, {})
        assert await runs.cancel("t1", "r1", reason="x" * 900)
        assert len(json.loads(rig.server.seen[-1].body)["reason"]) == 500
        rig.server.views[f"{RUN}cancel/"] = Reply(200, {})
        assert not await runs.cancel("t1", "r1")


async def test_files_and_changes_of_a_run(tmp_path: Path) -> None:
    async with runs_of(tmp_path) as (runs, rig):
        listed = {"id": "a1", "name": "report.md", "type": "output", "size": 3, "storage_path": "p/1"}
        rig.server.views[RUN] = Reply(body={"id": "r1", "status": "failed", "artifacts": [listed, {"id": None}]})
        rig.server.views[f"{RUN}artifacts/download/"] = Reply(body=b"abc")
        rig.server.views[f"{RUN}artifacts/presign/"] = Reply(body={"url": "https://x.example/1", "expires_in": 1})
        [first, *_] = await runs.artifacts("t1", "r1")
        assert (first.name, first.size) == ("report.md", 3)
        assert await runs.download("t1", "r1", first.storage_path) == b"abc"
        assert await runs.address("t1", "r1", first.storage_path) == "https://x.example/1"
        changed = await runs.change("t1", "r1", RunChange(status="failed", error_message="broke"))
        assert changed.status == "failed"
        assert json.loads(rig.server.seen[-1].body) == {"status": "failed", "error_message": "broke"}
