"""Talking to an agent: messages are kept, in order, and sent once; what is asked is answered in the exact form."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import BurrowError, Offline, OutcomeUnknown, Rejected, SignInNeeded, StorageTrouble
from app.core.fetcher import Admission
from app.core.posthog.run_errors import RunOver, StartedOtherwise
from app.core.posthog.run_files import RunFile
from app.core.posthog.types import TaskRun
from app.core.runs import agent_control, backoff, conversation, follower, queued, sent_messages
from app.core.runs.answers import QuestionAnswer
from app.core.runs.conversation import Conversation
from app.core.runs.follow_status import ENDED, LIVE
from app.core.runs.follower import RunFollower
from app.core.runs.items import Notice, Permission, TurnEnd
from app.core.runs.kept_stops import KeptStops
from app.core.storage import Scope, Storage
from app.core.storage.attachments import Attachment
from app.core.storage.follow_ups import WAITING, FollowUp
from tests.core.conftest import signed_in
from tests.core.runs.logs import Rpc, ask, call, chunk, ended, entries, items, message, note, prompt, shown, wrapped
from tests.core.runs.scripted_run import RUN, ScriptedRun, stored_form
from tests.core.scripted import Reply, Request
from tests.until import until

SCOPE = Scope("host", "me")
STARTED: list[Rpc] = [note("run_started", runId="r1"), prompt("First", 1), message("Hi."), ended(1)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "PAUSES", (0.005,) * 40)
    monkeypatch.setattr(follower, "FRAME_SECONDS", 0.0)
    monkeypatch.setattr(follower, "CATCH_UP_SECONDS", 0.005)
    monkeypatch.setattr(conversation, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(agent_control, "STOP_SECONDS", 0.05)


@dataclass
class Talk:
    """A conversation with a scripted agent. `refusals` are the answers to the next commands."""

    run: ScriptedRun
    conversation: Conversation
    storage: Storage
    refusals: list[Reply] = field(default_factory=list)
    commands: list[dict[str, Any]] = field(default_factory=list)
    went_on: list[tuple[str, str, int]] = field(default_factory=list)
    approved: list[tuple[str, str]] = field(default_factory=list)
    otherwise: TaskRun | None = None
    """The run that an earlier request for a run had begun."""
    echoes: bool = True
    """Whether the agent begins a turn for each message."""

    def command(self, request: Request) -> Reply:
        sent = json.loads(request.body)
        self.commands.append(sent)
        if self.refusals:
            return self.refusals.pop(0)
        if sent["method"] == "user_message" and self.echoes:
            self.happens(prompt(sent["params"].get("content", ""), 100 + len(self.commands)))
        return Reply(body={"jsonrpc": "2.0", "id": sent["id"], "result": {"queued": True}})

    def happens(self, *rpcs: Rpc) -> None:
        self.run.events += rpcs
        self.run.release(len(rpcs))

    @property
    def said(self) -> list[str]:
        return [each["params"].get("content") for each in self.commands if each["method"] == "user_message"]

    def told(self, method: str) -> list[dict[str, Any]]:
        return [each["params"] for each in self.commands if each["method"] == method]

    def waiting(self) -> list[tuple[str, str]]:
        return [(each.text, each.state) for each in self.conversation.queued]

    async def live(self) -> None:
        await until(lambda: self.conversation.follower.now.kind == LIVE)

    async def asked(self) -> Permission:
        await until(lambda: bool(self.conversation.follower.transcript.state.waiting))
        [key] = self.conversation.follower.transcript.state.waiting
        index = self.conversation.follower.transcript.index_of(key)
        assert index is not None
        found = self.conversation.follower.transcript.item(index)
        assert isinstance(found, Permission)
        return found


@asynccontextmanager
async def talking(folder: Path, events: Sequence[Rpc] = STARTED, **options: Any) -> AsyncIterator[Talk]:
    """Somebody talks to the agent of a run in which these events have happened."""
    storage = Storage.open(folder)
    async with signed_in(folder) as rig:
        adapter = options.pop("adapter", "claude")
        run = ScriptedRun(rig, list(events), released=len(events), ends=False, **options)
        rig.server.views[RUN] = lambda request: Reply(
            body={"id": "r1", "task": "t1", "status": run.status, "runtime_adapter": adapter, "state": run.state}
        )
        talk: Talk

        async def go_on(ended: TaskRun, text: str, files: Sequence[RunFile]) -> TaskRun:
            talk.went_on.append((ended.id, text, len(files)))
            if talk.otherwise is not None:
                raise StartedOtherwise(talk.otherwise)
            return TaskRun("r2", "queued", "t1")

        async def approve(server: str, tool: str) -> None:
            talk.approved.append((server, tool))

        one = Conversation(
            RunFollower(run.runs, "t1", "r1", folder=folder, stops=KeptStops(storage.stops, SCOPE, "t1")),
            run.runs,
            storage.follow_ups,
            SCOPE,
            go_on=go_on,
            attachments=storage.attachments,
            approve_tool=approve,
        )
        talk = Talk(run, one, storage)
        rig.server.views[f"{RUN}command/"] = talk.command
        place = {"id": "a1", "storage_path": "p", "presigned_post": {"url": f"{rig.server.origin}/up", "fields": {}}}
        rig.server.views[f"{RUN}artifacts/prepare_upload/"] = Reply(body={"artifacts": [place]})
        rig.server.views["/up"] = Reply(204)
        rig.server.views[f"{RUN}artifacts/finalize_upload/"] = Reply(body={"artifacts": [{"id": "final"}]})
        task = asyncio.create_task(one.run())
        try:
            yield talk
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            one.follower.close()
            await storage.close()


# Messages


async def test_a_message_is_stored_sent_and_gone_once_its_turn_begins(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.live()
        await talk.conversation.send("More")
        await until(lambda: shown(talk.conversation.follower.transcript)[-1] == "> More")
        await until(lambda: talk.waiting() == [])
        assert talk.said == ["More"]


async def test_messages_of_a_turn_wait_for_its_end_and_are_sent_as_one(tmp_path: Path) -> None:
    async with talking(tmp_path, STARTED[:2]) as talk:
        await talk.live()
        await talk.conversation.send("One")
        two = await talk.conversation.send("Two")
        await talk.conversation.send("Three")
        await until(lambda: talk.conversation.hold.reason == "turn")
        assert await talk.conversation.edit(two.id, "Two!")
        assert talk.waiting() == [("One", WAITING), ("Two!", WAITING), ("Three", WAITING)]
        talk.happens(ended(1))
        await until(lambda: talk.said == ["One\n\nTwo!\n\nThree"])
        await until(lambda: talk.waiting() == [])


async def test_a_message_that_was_removed_is_never_sent(tmp_path: Path) -> None:
    async with talking(tmp_path, STARTED[:2]) as talk:
        await talk.live()
        one = await talk.conversation.send("One")
        await talk.conversation.send("Two")
        assert await talk.conversation.remove(one.id)
        assert not await talk.conversation.remove(one.id)
        talk.happens(ended(1))
        await until(lambda: talk.said == ["Two"])


@pytest.mark.parametrize(
    ("events", "status", "reason"),
    [
        (STARTED[:0], "queued", "starting"),
        (STARTED[:0], "in_progress", "starting"),
        (STARTED[:2], "in_progress", "turn"),
    ],
)
async def test_a_message_waits_in_sight_and_says_why(
    tmp_path: Path, events: list[Rpc], status: str, reason: str
) -> None:
    async with talking(tmp_path, events, status=status) as talk:
        await talk.live()
        await talk.conversation.send("Later")
        await until(lambda: talk.conversation.hold.reason == reason)
        assert talk.waiting() == [("Later", WAITING)]
        assert talk.said == []


async def test_what_was_typed_during_a_slow_start_is_sent_when_the_first_turn_is_over(tmp_path: Path) -> None:
    async with talking(tmp_path, [], status="queued") as talk:
        await talk.live()
        await talk.conversation.send("Later")
        talk.happens({"type": "task_run_state", "status": "in_progress"}, *STARTED[:2])
        talk.run.status = "in_progress"
        await until(lambda: talk.conversation.hold.reason == "turn")
        talk.happens(ended(1))
        await until(lambda: talk.said == ["Later"])


async def test_what_was_typed_offline_is_sent_when_the_connection_is_back(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.live()
        rig = talk.run.rig
        await rig.server.go_away()
        await until(lambda: talk.conversation.follower.now.kind != LIVE)
        await talk.conversation.send("Typed offline")
        await until(lambda: talk.conversation.hold.reason == "offline")
        assert talk.waiting() == [("Typed offline", WAITING)]
        await rig.server.come_back()
        talk.conversation.retry()
        await until(lambda: talk.said == ["Typed offline"])


async def test_a_message_is_sent_for_the_account_that_wrote_it_only(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        asked: list[Scope] = []

        async def admit(scope: Scope) -> Admission:
            asked.append(scope)
            raise SignInNeeded("Somebody else is signed in.")

        talk.conversation._admit = admit
        await talk.live()
        await talk.conversation.send("Mine")
        await until(lambda: talk.conversation.hold.reason == "sign_in")
        assert (asked, talk.said, talk.waiting()) == ([SCOPE], [], [("Mine", WAITING)])
        talk.conversation._admit = None
        talk.conversation.retry()
        await until(lambda: talk.said == ["Mine"])


async def test_a_run_is_shown_while_its_messages_cannot_be_read(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        read, broken = talk.storage.follow_ups.list, asyncio.Event()

        async def fails(scope: Scope, task: str) -> tuple[FollowUp, ...]:
            broken.set()
            raise StorageTrouble("The disk is gone.")

        talk.storage.follow_ups.list = fails  # type: ignore[method-assign]
        await talk.live()
        await broken.wait()
        await until(lambda: talk.conversation.hold.reason == "trouble")
        assert shown(talk.conversation.follower.transcript)[-1] == "end end_turn"
        talk.storage.follow_ups.list = read  # type: ignore[method-assign]
        await talk.conversation.send("Now")
        await until(lambda: talk.said == ["Now"])


async def test_what_was_not_sent_is_there_after_a_restart_in_its_order(tmp_path: Path) -> None:
    async with talking(tmp_path, STARTED[:2]) as talk:
        await talk.live()
        await talk.conversation.send("One")
        await talk.conversation.send("Two")
    async with talking(tmp_path) as talk:
        await until(lambda: talk.said == ["One\n\nTwo"])


@pytest.mark.parametrize(
    "refusal",
    [
        Reply(400, {"type": "runtime_unavailable", "code": "sandbox_not_ready", "detail": "No sandbox"}),
        Reply(429, {"code": "throttled"}, {"Retry-After": "0"}),
        Reply(503, {"detail": "Later."}, {"Retry-After": "0"}),
    ],
)
async def test_a_message_that_was_certainly_not_taken_is_put_back_and_sent_again(
    tmp_path: Path, refusal: Reply
) -> None:
    async with talking(tmp_path) as talk:
        talk.refusals.append(refusal)
        await talk.live()
        await talk.conversation.send("One")
        await until(lambda: len(talk.said) == 2)
        await until(lambda: talk.waiting() == [])
        assert talk.said == ["One", "One"]


@pytest.mark.parametrize("refusal", [Reply(502, {"detail": "?"}), Reply(504, {"detail": "?"}), Reply(drop=True)])
async def test_what_may_have_arrived_is_sent_again_by_the_user_only_and_nothing_overtakes_it(
    tmp_path: Path, refusal: Reply
) -> None:
    async with talking(tmp_path) as talk:
        talk.refusals.append(refusal)
        await talk.live()
        one = await talk.conversation.send("One")
        await until(lambda: talk.waiting() == [("One", "unknown")])
        await talk.conversation.send("Two")
        await until(lambda: talk.conversation.hold.reason == "unsent")
        assert talk.said == ["One"]
        assert await talk.conversation.send_again(one.id)
        await until(lambda: talk.said == ["One", "One\n\nTwo"])


async def test_what_may_have_arrived_and_is_in_the_log_is_not_asked_about(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        talk.refusals.append(Reply(502, {"detail": "?"}))
        await talk.live()
        await talk.conversation.send("One")
        await until(lambda: talk.waiting() == [("One", "unknown")])
        arrived = prompt("One", 9)
        talk.happens(arrived, ended(9))
        # The log's times are those of the test's clock.
        talk.conversation._rows = tuple(each._replace(created_at=0.0) for each in talk.conversation._rows)
        talk.conversation._wake()
        await until(lambda: talk.waiting() == [])
        assert talk.said == ["One"]


async def test_a_message_that_the_agent_refuses_is_given_back_with_the_reason(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        talk.refusals.append(Reply(body={"error": {"code": -32602, "message": "Too long."}}))
        await talk.live()
        one = await talk.conversation.send("One")
        await until(lambda: talk.waiting() == [("One", "refused")])
        assert str(talk.conversation.queued[0].error) == "Too long."
        assert await talk.conversation.edit(one.id, "1")
        await until(lambda: talk.said == ["One", "1"])


async def test_files_are_uploaded_before_the_message_that_names_them(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.live()
        file = await asyncio.to_thread(talk.storage.attachments.add_content, "a.txt", "text/plain", b"abc")
        await talk.conversation.send("See", [file])
        await until(lambda: talk.told("user_message") == [{"content": "See", "artifact_ids": ["final"]}])
        [uploaded] = [each for each in talk.run.rig.server.seen if each.path == "/up"]
        assert (b"abc" in uploaded.body, uploaded.bearer) == (True, "")


async def test_a_message_can_steer_the_turn_that_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_messages, "LOG_SECONDS", 0.0)
    async with talking(tmp_path, STARTED[:2]) as talk:
        talk.echoes = False
        await talk.live()
        await talk.conversation.send("Steer!", steer=True)
        await until(lambda: talk.told("user_message") == [{"content": "Steer!", "steer": True}])
        # Not every server logs it.
        await until(lambda: talk.waiting() == [("Steer!", "sent")])
        talk.happens(ended(1))
        await until(lambda: talk.waiting() == [])


async def test_a_queued_message_that_is_sent_now_keeps_its_place_until_the_agent_has_it(tmp_path: Path) -> None:
    async with talking(tmp_path, STARTED[:2]) as talk:
        talk.echoes = False
        # Nobody knows whether it took it.
        talk.refusals.append(Reply(502, {"detail": "?"}))
        await talk.live()
        for text in ("One", "Two", "Three"):
            await talk.conversation.send(text)
        two = talk.conversation.queued[1].id
        assert await talk.conversation.send_now(two)
        await until(lambda: talk.waiting() == [("One", "waiting"), ("Two", "unknown"), ("Three", "waiting")])
        assert not await talk.conversation.send_now(two)
        assert await talk.conversation.send_again(two)
        await until(lambda: talk.waiting() == [("One", "waiting"), ("Two", "sent"), ("Three", "waiting")])
        assert talk.told("user_message") == [{"content": "Two", "steer": True}] * 2


@pytest.mark.parametrize(("logged", "left"), [(False, [("More", "unknown")]), (True, [])])
async def test_a_message_that_the_server_took_and_then_lost_is_given_back_when_the_run_has_ended(
    tmp_path: Path, *, logged: bool, left: list[tuple[str, str]]
) -> None:
    async with talking(tmp_path) as talk:
        talk.echoes = False
        await talk.live()
        await talk.conversation.send("More")
        await until(lambda: talk.waiting() == [("More", "sent")])
        [kept] = await talk.storage.follow_ups.list(SCOPE, "t1")
        assert (kept.state, kept.run) == ("sent", "r1")
        if logged:
            talk.run.events.append(prompt("More", 2))
        talk.run.status = "failed"
        talk.run.ends = True
        talk.run.release(len(talk.run.events))
        await until(lambda: talk.conversation.follower.now.kind == ENDED)
        await until(lambda: talk.waiting() == left)
        assert talk.said == ["More"]


async def test_a_run_that_has_ended_is_gone_on_with_in_another_one(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.live()
        views = talk.run.rig.server.views
        second = RUN.replace("r1", "r2")
        views[second] = Reply(
            body={"id": "r2", "task": "t1", "status": "completed", "state": {"resume_from_run_id": "r1"}}
        )
        again = [note("run_started", runId="r2"), prompt("More", 1), message("Yes."), ended(1)]
        views[f"{second}session_logs/"] = Reply(body=f"[{','.join(wrapped(rpc).decode() for rpc in again)}]")
        before = [item.key for item in items(talk.conversation.follower.transcript)]
        talk.run.status = "completed"
        talk.refusals.append(Reply(409, {"detail": "Task run workflow has ended"}))
        await talk.conversation.send("More")
        await until(
            lambda: shown(talk.conversation.follower.transcript)[-3:] == ["> More", "says Yes.", "end end_turn"]
        )
        assert talk.went_on == [("r1", "More", 0)]
        assert [item.key for item in items(talk.conversation.follower.transcript)][: len(before)] == before
        await until(lambda: talk.waiting() == [])


async def test_a_message_that_a_run_was_not_begun_with_after_all_is_kept_and_the_run_is_shown(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.live()
        views = talk.run.rig.server.views
        second = RUN.replace("r1", "r2")
        views[second] = Reply(
            body={"id": "r2", "task": "t1", "status": "completed", "state": {"resume_from_run_id": "r1"}}
        )
        # An earlier try had begun it with the first of the two.
        again = [note("run_started", runId="r2"), prompt("One", 1), message("Yes."), ended(1)]
        log = [wrapped(rpc, "2999-01-01T00:00:00Z").decode() for rpc in again]
        views[f"{second}session_logs/"] = Reply(body=f"[{','.join(log)}]")
        talk.otherwise = TaskRun("r2", "completed", "t1")
        talk.run.status = "completed"
        talk.refusals.append(Reply(409, {"detail": "Task run workflow has ended"}))
        await talk.conversation.send("One")
        await talk.conversation.send("Two")
        await until(lambda: "says Yes." in shown(talk.conversation.follower.transcript))
        await until(lambda: talk.waiting() == [("Two", "unknown")])
        assert "Two" not in talk.said


async def test_a_run_that_failed_before_its_agent_was_there_is_not_tried_again_by_itself(tmp_path: Path) -> None:
    async with talking(tmp_path, [], status="failed") as talk:
        await talk.conversation.send("Hello?")
        await until(lambda: talk.conversation.hold.reason == "never_started")
        assert (talk.went_on, talk.waiting()) == ([], [("Hello?", WAITING)])


async def test_what_a_run_was_to_begin_with_is_queued_again_when_it_fails_before_its_agent_is_there(
    tmp_path: Path,
) -> None:
    async with talking(tmp_path) as talk:
        await talk.live()
        views = talk.run.rig.server.views
        second = RUN.replace("r1", "r2")
        views[second] = Reply(
            body={"id": "r2", "task": "t1", "status": "failed", "state": {"resume_from_run_id": "r1"}}
        )
        views[f"{second}session_logs/"] = Reply(body=f"[{wrapped(note('error', message='No branch.')).decode()}]")
        talk.run.status = "completed"
        talk.refusals.append(Reply(409, {"detail": "Task run workflow has ended"}))
        await talk.conversation.send("More")
        await until(lambda: talk.conversation.hold.reason == "never_started")
        assert talk.waiting() == [("More", "waiting")]
        assert talk.went_on == [("r1", "More", 0)]


async def started_with(folder: Path, run: str, text: str = "More") -> None:
    """Burrow ended after a run with these words had started, before anything was known of its agent."""
    storage = Storage.open(folder)
    item = await storage.follow_ups.add(SCOPE, "t1", text)
    assert await storage.follow_ups.claim(SCOPE, "t1")
    await storage.follow_ups.begin([item.id], run)
    await storage.close()


async def test_what_a_run_is_to_begin_with_stays_stored_until_its_agent_is_there(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.live()
        second = RUN.replace("r1", "r2")
        body = {"id": "r2", "task": "t1", "status": "queued", "state": {"resume_from_run_id": "r1"}}
        views = talk.run.rig.server.views
        views[second] = Reply(body=body)
        views[f"{second}session_logs/"] = Reply(body="[]")
        talk.run.status = "completed"
        talk.refusals.append(Reply(409, {"detail": "Task run workflow has ended"}))
        one = await talk.conversation.send("More")
        await until(lambda: talk.waiting() == [("More", "sent")])
        [kept] = await talk.storage.follow_ups.list(SCOPE, "t1")
        assert (kept.id, kept.state, kept.run) == (one.id, "sent", "r2")
        # It is too late for these.
        assert not await talk.conversation.edit(one.id, "Less")
        assert not await talk.conversation.remove(one.id)
        await talk.conversation.send("And then")
        await until(lambda: talk.conversation.hold.reason == "starting")
        assert talk.went_on == [("r1", "More", 0)]


async def test_what_a_run_began_with_that_broke_off_in_its_first_turn_was_read(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.live()
        second, views = RUN.replace("r1", "r2"), talk.run.rig.server.views
        body = {"id": "r2", "task": "t1", "status": "queued", "state": {"resume_from_run_id": "r1"}}
        views[second], views[f"{second}session_logs/"] = Reply(body=body), Reply(body="[]")
        talk.run.status = "completed"
        talk.refusals.append(Reply(409, {"detail": "Task run workflow has ended"}))
        await talk.conversation.send("More")
        await until(lambda: talk.waiting() == [("More", "sent")])
        begun = [note("run_started", runId="r2"), prompt("More", 1), call("c2")]
        views[f"{second}session_logs/"] = Reply(body=f"[{','.join(wrapped(rpc).decode() for rpc in begun)}]")
        views[second] = Reply(body={**body, "status": "failed"})
        talk.conversation.retry()
        await until(lambda: talk.conversation.follower.now.kind == ENDED)
        await until(lambda: talk.waiting() == [])
        assert talk.went_on == [("r1", "More", 0)]
        assert "> More" in shown(talk.conversation.follower.transcript)


@pytest.mark.parametrize(
    ("status", "events", "left", "hold"),
    [
        ("in_progress", [*STARTED, prompt("More", 2)], [], ""),
        ("completed", [*STARTED, prompt("More", 2)], [], ""),
        ("in_progress", STARTED, [("More", "sent")], ""),
        ("completed", STARTED, [("More", "unknown")], ""),
        ("failed", STARTED[:0], [("More", "waiting")], "never_started"),
        ("cancelled", STARTED[:0], [("More", "unknown")], ""),
    ],
)
async def test_after_a_restart_what_an_agent_was_given_is_said_once_or_given_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    events: list[Rpc],
    left: list[tuple[str, str]],
    hold: str,
) -> None:
    # The clock of the scripted log is another one.
    monkeypatch.setattr(queued, "CLOCK_DIFFERENCE", math.inf)
    await started_with(tmp_path, "r1")
    async with talking(tmp_path, events, status=status) as talk:
        await until(lambda: talk.conversation.follower.now.kind in {LIVE, ENDED})
        await until(lambda: talk.waiting() == left)
        await until(lambda: talk.conversation.hold.reason == hold)
        assert (talk.said, talk.went_on) == ([], [])


@pytest.mark.parametrize(("status", "left"), [("queued", "sent"), ("failed", "unknown"), ("completed", None)])
async def test_what_another_run_begins_with_holds_nothing_up_and_needs_the_user_once_that_has_failed(
    tmp_path: Path, status: str, left: str | None
) -> None:
    await started_with(tmp_path, "r2")
    async with talking(tmp_path, STARTED[:2]) as talk:
        body = {"id": "r2", "task": "t1", "status": status}
        talk.run.rig.server.views[RUN.replace("r1", "r2")] = Reply(body=body)
        await talk.live()
        await until(lambda: any(each.path == RUN.replace("r1", "r2") for each in talk.run.rig.server.seen))
        want = [] if left is None else [("More", left)]
        await until(lambda: talk.waiting() == want)
        talk.happens(ended(1))
        if left == "sent":
            await talk.conversation.send("Else")
            await until(lambda: talk.said == ["Else"])


async def test_a_disk_that_is_full_after_a_run_has_started_does_not_start_another_one(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.live()

        async def fails(ids: Sequence[str], run: str) -> None:
            raise StorageTrouble("The disk is full.")

        talk.storage.follow_ups.begin = fails  # type: ignore[method-assign]
        talk.run.status = "completed"
        talk.refusals.append(Reply(409, {"detail": "Task run workflow has ended"}))
        await talk.conversation.send("More")
        await until(lambda: talk.waiting() == [("More", "unknown")])
        assert talk.went_on == [("r1", "More", 0)]


async def test_whoever_gives_up_waiting_for_a_claim_gives_back_nothing_of_another_one(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    one = await storage.follow_ups.add(SCOPE, "t1", "One")
    assert await storage.follow_ups.claim(SCOPE, "t1")
    other = asyncio.create_task(storage.follow_ups.claim(SCOPE, "t1"))
    await asyncio.sleep(0)
    other.cancel()
    with suppress(asyncio.CancelledError):
        await other
    assert [each.state for each in await storage.follow_ups.list(SCOPE, "t1")] == ["sending"]
    await storage.follow_ups.give_back([one.id])
    mine = asyncio.create_task(storage.follow_ups.claim(SCOPE, "t1"))
    await asyncio.sleep(0)
    mine.cancel()
    with suppress(asyncio.CancelledError):
        await mine
    assert [each.state for each in await storage.follow_ups.list(SCOPE, "t1")] == ["waiting"]
    await storage.close()


@pytest.mark.parametrize("newest", ["r1", "r2"])
async def test_what_was_written_elsewhere_goes_on_from_the_last_run_of_a_task_only(tmp_path: Path, newest: str) -> None:
    storage = Storage.open(tmp_path)
    await storage.follow_ups.add(SCOPE, "t1", "For the last run")
    await storage.close()
    async with talking(tmp_path, status="completed") as talk:
        views = talk.run.rig.server.views
        views[RUN.removesuffix("r1/")] = Reply(body={"results": [{"id": newest}], "count": 2, "next": None})
        await until(lambda: any(each.path == RUN.removesuffix("r1/") for each in talk.run.rig.server.seen))
        if newest == "r1":
            await until(lambda: talk.went_on == [("r1", "For the last run", 0)])
            return
        await until(lambda: talk.waiting() == [("For the last run", WAITING)])
        await until(lambda: talk.conversation.hold.reason == "later_run")
        # Whoever looks at an earlier run may go on from that.
        await talk.conversation.send("From here")
        await until(lambda: bool(talk.went_on))
        assert talk.went_on == [("r1", "From here", 0)]
        assert [each.text for each in talk.conversation.queued if each.state == WAITING] == ["For the last run"]


async def test_of_two_windows_one_sends_a_message(tmp_path: Path) -> None:
    one, other = Storage.open(tmp_path), Storage.open(tmp_path)
    await one.follow_ups.add(SCOPE, "t1", "One")
    await one.follow_ups.add(SCOPE, "t1", "Two")
    stale = await one.follow_ups.list(SCOPE, "t1")
    claims = await asyncio.gather(*(each.follow_ups.claim(SCOPE, "t1") for each in (one, other) for _ in range(3)))
    assert sorted(len(each) for each in claims) == [0, 0, 0, 0, 0, 2]
    winner, loser = (one, other) if any(claims[:3]) else (other, one)
    [seen, _] = await loser.follow_ups.list(SCOPE, "t1")
    assert seen.elsewhere
    # It read them before the other one took them.
    assert not await loser.follow_ups._run(lambda: loser.follow_ups._take(stale))
    assert not await loser.follow_ups.edit(seen.id, "Changed")
    assert not await loser.follow_ups.remove(seen.id)
    # The other window dies while it sends: what it had may have arrived.
    winner.follow_ups.close()
    assert [each.state for each in await loser.follow_ups.list(SCOPE, "t1")] == ["unknown", "unknown"]
    await one.close()
    await other.close()


async def test_files_of_messages_are_kept_as_long_as_the_messages(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path)
    file = Attachment("a", "0" * 64, 1, "text/plain")
    item = await storage.follow_ups.add(SCOPE, "t1", "x", [file])
    assert await storage.follow_ups.attachments() == {file.digest}
    assert (await storage.follow_ups.list(SCOPE, "t1"))[0].files == (file,)
    await storage.follow_ups.finish([item.id])
    assert await storage.follow_ups.attachments() == set()
    await storage.close()


# Stopping

UNDER_WAY: list[Rpc] = [*STARTED, prompt("Go", 2), call("c1"), ask("p1", "c1")]


async def test_a_turn_that_is_stopped_closes_its_questions_and_the_next_message_works(tmp_path: Path) -> None:
    async with talking(tmp_path, [*UNDER_WAY, ask("p2", "c2")]) as talk:
        await talk.live()
        stopping = asyncio.create_task(talk.conversation.stop_turn())
        await until(lambda: bool(talk.told("cancel")))
        talk.happens(ended(2, "cancelled"))
        await stopping
        transcript = talk.conversation.follower.transcript
        assert transcript.state.waiting == ()
        assert [line for line in shown(transcript) if line.startswith("asks")] == ["asks Write cancelled"] * 2
        assert sorted(each["requestId"] for each in talk.told("permission_response")) == ["p1", "p2"]
        await talk.conversation.send("Next")
        await until(lambda: talk.said == ["Next"])


async def test_a_stop_is_stored_before_the_agent_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Burrow may be killed while it tells the agent."""
    async with talking(tmp_path, UNDER_WAY) as talk:
        await talk.live()
        stored: list[int] = []
        tell = talk.conversation._command

        async def telling(method: str, params: object) -> object:
            stored.append(len(await talk.storage.stops.list(SCOPE, "t1")))
            return await tell(method, params)

        monkeypatch.setattr(talk.conversation, "_command", telling)
        await talk.conversation.stop_turn()
        assert stored[0] == 1


async def test_a_server_that_never_answers_the_stop_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_control, "TELL_SECONDS", 0.2)
    forever = asyncio.Event()

    async def silence(_writer: asyncio.StreamWriter) -> None:
        await forever.wait()

    async with talking(tmp_path, [*UNDER_WAY, ask("p2", "c2")]) as talk:
        await talk.live()
        talk.refusals += [Reply(stream=silence)] * 3
        await talk.conversation.stop_turn()
        transcript = talk.conversation.follower.transcript
        assert (transcript.state.busy, transcript.state.waiting) == (False, ())
        assert shown(transcript)[-1] == "end cancelled"
        forever.set()


async def test_an_agent_that_says_end_turn_was_stopped_all_the_same(tmp_path: Path) -> None:
    async with talking(tmp_path, UNDER_WAY) as talk:
        await talk.live()
        stopping = asyncio.create_task(talk.conversation.stop_turn())
        await until(lambda: bool(talk.told("cancel")))
        talk.happens(ended(2, "end_turn"), message("Five seconds later"))
        await stopping
        await until(lambda: shown(talk.conversation.follower.transcript)[-1] == "says Five seconds later (late)")
        assert "end cancelled" in shown(talk.conversation.follower.transcript)


@pytest.mark.parametrize(
    "refusal", [Reply(body={"error": {"code": -32601, "message": "No such method"}}), Reply(502, {"detail": "?"})]
)
async def test_an_agent_that_refuses_to_stop_or_never_answers_is_given_up_with_a_word(
    tmp_path: Path, refusal: Reply
) -> None:
    async with talking(tmp_path, UNDER_WAY) as talk:
        await talk.live()
        talk.refusals.append(refusal)
        await talk.conversation.stop_turn()
        transcript = talk.conversation.follower.transcript
        assert not transcript.state.busy
        [*_, told, end] = items(transcript)
        assert isinstance(told, Notice)
        assert "has not ended its turn" in told.text
        assert isinstance(end, TurnEnd)
        assert (end.reason, end.late) == ("cancelled", False)
        talk.happens(chunk("Still here"))
        await until(lambda: shown(transcript)[-1] == "says Still here (late)")
        # When the log is read again it was stopped all the same.
        again = transcript.rebuild()
        again.apply(entries(*stored_form(talk.run.events), ended(2, "end_turn")))
        again.finish()
        assert shown(transcript)[-1] == "end cancelled"


async def test_a_turn_of_which_the_agent_was_not_told_goes_on(tmp_path: Path) -> None:
    async with talking(tmp_path, UNDER_WAY) as talk:
        await talk.live()
        talk.refusals.append(Reply(400, {"type": "runtime_unavailable", "code": "sandbox_not_ready", "detail": "No"}))
        with pytest.raises(Exception, match="No"):
            await talk.conversation.stop_turn()
        assert talk.conversation.follower.transcript.state.waiting
        assert not talk.conversation.stopping


async def test_a_turn_that_was_stopped_is_still_stopped_after_a_restart_and_late_updates_are_late(
    tmp_path: Path,
) -> None:
    async with talking(tmp_path, UNDER_WAY) as talk:
        await talk.live()
        stopping = asyncio.create_task(talk.conversation.stop_turn())
        await until(lambda: talk.conversation.follower.transcript.stopped_at is not None)
        late = [chunk("Before "), chunk("the end"), ended(2, "end_turn"), message("And after it"), prompt("Next", 3)]
        talk.happens(*late, message("Now"))
        await stopping
        await until(lambda: shown(talk.conversation.follower.transcript)[-1] == "says Now")
        before = shown(talk.conversation.follower.transcript)
    assert {"says Before the end (late)", "says And after it (late)", "end cancelled"} < set(before)
    async with talking(tmp_path, talk.run.events) as talk:
        await talk.live()
        assert shown(talk.conversation.follower.transcript) == before


async def test_a_turn_that_was_stopped_and_never_ended_does_not_work_for_ever_after_a_restart(tmp_path: Path) -> None:
    async with talking(tmp_path, UNDER_WAY) as talk:
        await talk.live()
        # Burrow ends before the agent has answered.
        stopping = asyncio.create_task(talk.conversation.stop_turn())
        await until(lambda: bool(talk.told("cancel")))
        stopping.cancel()
        with suppress(asyncio.CancelledError):
            await stopping
    async with talking(tmp_path, UNDER_WAY) as talk:
        await talk.live()
        transcript = talk.conversation.follower.transcript
        assert transcript.state.waiting == ()
        await until(lambda: not transcript.state.busy)
        assert shown(transcript)[-1] == "end cancelled"
        # What is typed now is no longer held up by that turn.
        await talk.conversation.send("Next")
        await until(lambda: talk.said == ["Next"])


@pytest.mark.parametrize(
    "refusal",
    [Reply(400, {"type": "runtime_unavailable", "code": "sandbox_not_ready", "detail": "No"}), Reply(403, {})],
)
async def test_a_stop_of_which_the_agent_was_not_told_is_not_kept(tmp_path: Path, refusal: Reply) -> None:
    async with talking(tmp_path, UNDER_WAY) as talk:
        await talk.live()
        talk.refusals.append(refusal)
        with pytest.raises(BurrowError):
            await talk.conversation.stop_turn()
        assert await talk.storage.stops.list(SCOPE, "t1") == ()


async def test_a_turn_that_had_ended_by_itself_when_it_was_stopped_is_not_called_stopped(tmp_path: Path) -> None:
    async with talking(tmp_path, UNDER_WAY[:-1]) as talk:
        await talk.live()

        def answer(request: Request) -> Reply:
            # Its end is on the way while the agent is told.
            talk.conversation.follower.transcript.apply(entries(ended(2, "end_turn")))
            return Reply(body={"jsonrpc": "2.0", "id": json.loads(request.body)["id"], "result": {}})

        talk.run.rig.server.views[f"{RUN}command/"] = answer
        await talk.conversation.stop_turn()
        assert shown(talk.conversation.follower.transcript)[-1] == "end end_turn"
        assert await talk.storage.stops.list(SCOPE, "t1") == ()


async def _stop(talk: Talk) -> None:
    await talk.conversation.stop_turn()


async def _end(talk: Talk) -> None:
    await talk.conversation.close()


async def _answer(talk: Talk) -> None:
    await talk.conversation.answer(await talk.asked(), "allow")


async def _dismiss(talk: Talk) -> None:
    await talk.conversation.dismiss(await talk.asked())


async def _change(talk: Talk) -> None:
    await talk.conversation.set_option("mode", "plan")


@pytest.mark.parametrize(
    ("act", "away", "perhaps"),
    [
        (_stop, "Stop it again", ""),
        (_end, "End it again", "If it goes on, end it again."),
        (_answer, "Answer it again", "If the question stays, answer it again."),
        (_dismiss, "Answer it again", "If the question stays, answer it again."),
        (_change, "Choose it again", "Look whether it was changed"),
    ],
)
async def test_a_server_that_goes_away_is_told_of_with_the_way_out_and_nothing_is_settled(
    tmp_path: Path, act: Callable[[Talk], Awaitable[None]], away: str, perhaps: str
) -> None:
    async with talking(tmp_path, UNDER_WAY) as talk:
        await talk.live()
        state = talk.conversation.follower.transcript.state
        if perhaps:
            # In the middle of the request.
            talk.refusals.append(Reply(drop=True))
            with pytest.raises(OutcomeUnknown) as unknown:
                await act(talk)
            assert perhaps in unknown.value.advice
        await talk.run.rig.server.go_away()
        with pytest.raises(Offline) as offline:
            await act(talk)
        assert away in offline.value.advice
        now = talk.conversation.follower.transcript.state
        assert (now.waiting, now.busy) == (state.waiting, True)
        assert await talk.storage.stops.list(SCOPE, "t1") == ()
        # It can be done as soon as the server is back.
        await talk.run.rig.server.come_back()
        before = len(talk.commands)
        acting = asyncio.create_task(act(talk))
        await until(lambda: len(talk.commands) > before)
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)


async def test_a_server_that_dies_while_a_turn_is_stopped_leaves_it_stopped_and_says_what_is_not_known(
    tmp_path: Path,
) -> None:
    async with talking(tmp_path, UNDER_WAY) as talk:
        await talk.live()
        server, dying = talk.run.rig.server, list[asyncio.Task[None]]()

        async def dies(_request: Request) -> Reply:
            dying.append(asyncio.create_task(server.go_away()))
            await asyncio.Event().wait()
            raise AssertionError

        server.views[f"{RUN}command/"] = dies
        await talk.conversation.stop_turn()
        await asyncio.gather(*dying)
        [*_, told, end] = items(talk.conversation.follower.transcript)
        assert isinstance(told, Notice)
        assert "the server could not be reached" in told.text
        assert isinstance(end, TurnEnd)
        assert end.reason == "cancelled"


@pytest.mark.parametrize("act", [_stop, _end, _answer, _dismiss])
async def test_a_run_that_has_ended_unseen_is_learnt_of_at_once(
    tmp_path: Path, act: Callable[[Talk], Awaitable[None]]
) -> None:
    """As after a restart of the server, which ended it."""
    async with talking(tmp_path, UNDER_WAY) as talk:
        await talk.live()
        talk.run.status = "failed"
        talk.refusals += [Reply(409, {"detail": "Task run workflow has ended"})] * 3
        if act is _answer:
            with pytest.raises(RunOver) as over:
                await act(talk)
            assert over.value.advice == "Send a message: it goes on in a new run."
        else:
            await act(talk)
        await until(lambda: talk.conversation.follower.now.kind == "ended")
        assert talk.conversation.follower.transcript.state.waiting == ()
        assert "end cancelled" not in shown(talk.conversation.follower.transcript)
        assert await talk.storage.stops.list(SCOPE, "t1") == ()


async def test_a_turn_is_stopped_also_where_that_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with talking(tmp_path, UNDER_WAY) as talk:

        async def full(*_: object) -> None:
            raise StorageTrouble("The disk is full.")

        await talk.live()
        monkeypatch.setattr(talk.storage.stops, "keep", full)
        stopping = asyncio.create_task(talk.conversation.stop_turn())
        await until(lambda: bool(talk.told("cancel")))
        talk.happens(ended(2, "end_turn"))
        await stopping
        assert shown(talk.conversation.follower.transcript)[-1] == "end cancelled"


# Answers


async def test_an_answer_is_sent_as_it_was_offered_and_closes_the_card(tmp_path: Path) -> None:
    async with talking(tmp_path, UNDER_WAY) as talk:
        asked = await talk.asked()
        with pytest.raises(Rejected):
            await talk.conversation.answer(asked, "bypass")
        await talk.conversation.answer(asked, "allow")
        assert talk.told("permission_response") == [{"requestId": "p1", "optionId": "allow"}]
        assert talk.conversation.follower.transcript.state.waiting == ()


def offered(*options: tuple[str, str, bool], **tool: Any) -> Rpc:
    asked = ask("p1", "c1", **tool)
    asked["params"]["options"] = [
        {"optionId": name, "name": name.title(), "kind": kind, "_meta": {"customInput": text}}
        for name, kind, text in options
    ]
    return asked


async def test_a_text_goes_with_an_option_that_takes_one_and_else_by_itself(tmp_path: Path) -> None:
    options = [("allow", "allow_once", False), ("reject_with_feedback", "reject_once", True)]
    for option, sent in [
        ("reject_with_feedback", [{"requestId": "p1", "optionId": "reject_with_feedback", "customInput": "Use rg"}]),
        ("allow", [{"requestId": "p1", "optionId": "allow"}]),
    ]:
        async with talking(tmp_path, [*UNDER_WAY[:-1], offered(*options)]) as talk:
            talk.echoes = False
            await talk.conversation.answer(await talk.asked(), option, " Use rg ")
            assert talk.told("permission_response") == sent
            if option == "allow":
                await until(lambda talk=talk: talk.told("user_message") == [{"content": "Use rg", "steer": True}])  # type: ignore[misc]


async def test_to_dismiss_a_question_refuses_it_and_stops_the_turn(tmp_path: Path) -> None:
    options = [("allow", "allow_once", False), ("reject_with_feedback", "reject_once", True)]
    async with talking(tmp_path, [*UNDER_WAY[:-1], offered(*options)]) as talk:
        asked = await talk.asked()
        work = asyncio.create_task(talk.conversation.dismiss(asked))
        await until(lambda: bool(talk.told("cancel")))
        talk.happens(ended(2, "cancelled"))
        await work
        assert talk.told("permission_response") == [
            {
                "requestId": "p1",
                "optionId": "reject_with_feedback",
                "customInput": "User cancelled the permission request.",
            }
        ]
        assert "asks Write cancelled" in shown(talk.conversation.follower.transcript)


async def test_always_raises_the_mode_and_allows_the_tool_for_good(tmp_path: Path) -> None:
    for adapter, mode in [("claude", "acceptEdits"), ("codex", "auto")]:
        tool = call("c1", title="mcp__posthog__query-run")
        always = offered(("allow_always", "allow_always", False))
        async with talking(tmp_path, [*UNDER_WAY[:-2], tool, always], adapter=adapter) as talk:
            await talk.conversation.answer(await talk.asked(), "allow_always")
            assert talk.told("set_config_option") == [{"configId": "mode", "value": mode}]
            assert talk.approved == [("posthog", "query-run")]


async def test_always_for_another_mode_raises_nothing_else(tmp_path: Path) -> None:
    plan = offered(("acceptEdits", "allow_always", False), kind="switch_mode", rawInput={"plan": "1. Do it"})
    async with talking(tmp_path, [*UNDER_WAY[:-1], plan]) as talk:
        await talk.conversation.answer(await talk.asked(), "acceptEdits")
        assert talk.told("permission_response") == [{"requestId": "p1", "optionId": "acceptEdits"}]
        assert talk.told("set_config_option") == []


def questions(*texts: str, several: bool = False) -> Rpc:
    choices = [{"label": "A"}, {"label": "B"}]
    meta = {
        "codeToolKind": "question",
        "questions": [{"question": text, "options": choices, "multiSelect": several} for text in texts],
    }
    return offered(("option_0", "allow_once", False), ("option_1", "allow_once", False), _meta=meta)


@pytest.mark.parametrize(
    ("asked", "given", "sent"),
    [
        (questions("Which?"), [QuestionAnswer(("B",))], {"optionId": "option_1", "answers": {"Which?": "B"}}),
        (questions("Which?"), [QuestionAnswer(text="C")], {"optionId": "other", "answers": {"Which?": "C"}}),
        (
            questions("Which?", several=True),
            [QuestionAnswer(("A", "B"), "and C")],
            {"optionId": "option_0", "answers": {"Which?": "A, B, and C"}},
        ),
        (
            questions("Which?", "When?"),
            [QuestionAnswer(("A",)), QuestionAnswer(text="Now")],
            {"optionId": "_submit", "answers": {"Which?": "A", "When?": "Now"}},
        ),
    ],
)
async def test_questions_are_answered_by_their_texts(
    tmp_path: Path, asked: Rpc, given: list[QuestionAnswer], sent: dict[str, Any]
) -> None:
    async with talking(tmp_path, [*UNDER_WAY[:-1], asked]) as talk:
        waiting = await talk.asked()
        for wrong in (QuestionAnswer(), QuestionAnswer(("not offered",))):
            with pytest.raises(Rejected):
                await talk.conversation.answer(waiting, answers=[wrong] * len(given))
        await talk.conversation.answer(waiting, answers=given)
        assert talk.told("permission_response") == [{"requestId": "p1", **sent}]


async def test_a_setting_that_was_changed_is_shown_as_the_agent_has_it(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.live()
        option = {"id": "mode", "name": "Mode", "category": "mode", "currentValue": "plan", "options": []}
        talk.refusals.append(Reply(body={"result": {"configOptions": [option]}}))
        await talk.conversation.set_option("mode", "plan")
        assert talk.conversation.follower.transcript.state.options[0].value == "plan"


async def test_a_session_that_is_closed_twice_is_closed(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.live()
        talk.refusals.append(Reply(409, {"detail": "Task run workflow has ended"}))
        await talk.conversation.close()
        assert len(talk.told("close")) == 1
