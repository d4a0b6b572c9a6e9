"""Following a run over real sockets: whatever happens to its connections, the transcript is that of its log."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from app.core.errors import NotFound, ServerTrouble
from app.core.posthog.runs import LOG_PAGE
from app.core.runs import backoff, follower
from app.core.runs.backoff import Backoff
from app.core.runs.follow_status import ENDED, FAILED, LIVE, WAITING, FollowStatus
from app.core.runs.follower import RunFollower
from app.core.runs.transcript import Transcript
from tests.clock import StillClock
from tests.core.conftest import signed_in
from tests.core.runs.logs import (
    Rpc,
    ask,
    call,
    chunk,
    ended,
    entries,
    items,
    message,
    note,
    output,
    progress,
    prompt,
    same,
    shown,
    stream_ask,
    timeless,
    update,
)
from tests.core.runs.scripted_run import CUT, HANG, ROTATE, RUN, ScriptedRun, stored_form
from tests.core.scripted import DEAD, Reply, Request
from tests.until import until

CONVERSATION: list[Rpc] = [
    note("progress", group="setup", step="clone", status="in_progress"),
    note("progress", group="setup", step="clone", status="completed"),
    note("run_started", runId="r1"),
    prompt("Fix it", 1),
    chunk("Let me "),
    chunk("look "),
    chunk("at it."),
    call("c1"),
    progress("c1", "in_progress"),
    progress("c1", content=output("def f")),
    chunk("ha"),
    chunk("ha"),
    chunk("ha."),
    update("usage_update", used=10, size=100),
    note("console", level="info", message="same"),
    note("console", level="info", message="same"),
    call("c2", kind="edit"),
    ask("p1", "c2"),
    stream_ask("p1", "c2"),
    note("permission_resolved", requestId="p1", optionId="allow"),
    progress("c2"),
    update("plan", entries=[{"content": "x", "status": "completed"}]),
    chunk("Done."),
    ended(1),
    note("turn_complete", stopReason="end_turn"),
    prompt("And now", 2),
    chunk("Done."),
    ended(2),
]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "PAUSES", (0.001,) * 40)
    monkeypatch.setattr(backoff, "MOST_FAILURES", 100)
    monkeypatch.setattr(follower, "FRAME_SECONDS", 0.0)
    monkeypatch.setattr(follower, "CATCH_UP_SECONDS", 0.005)


def expected(events: list[Rpc] = CONVERSATION) -> Transcript:
    """What the stored log alone leads to."""
    transcript = Transcript("r1")
    transcript.apply(entries(*stored_form(events)))
    transcript.finish()
    return transcript


@asynccontextmanager
async def following(run: ScriptedRun, folder: Path, clock: StillClock | None = None) -> AsyncIterator[RunFollower]:
    """A follower whose `follow` runs."""
    one = RunFollower(run.runs, "t1", "r1", folder=folder, clock=clock)
    task = asyncio.create_task(one.follow())
    try:
        yield one
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        one.close()


async def follow(run: ScriptedRun, folder: Path) -> RunFollower:
    """Follow a run to its end."""
    one = RunFollower(run.runs, "t1", "r1", folder=folder)
    async with asyncio.timeout(20):
        await one.follow()
    assert one.now == FollowStatus(ENDED)
    return one


async def test_a_run_that_is_killed_at_every_event_boundary_has_the_same_transcript(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        for at in range(len(CONVERSATION) + 1):
            run = ScriptedRun(rig, CONVERSATION, plans=[(at, CUT)])
            one = await follow(run, tmp_path)
            assert same(one.transcript, expected()), f"cut after {at}"
            assert len(run.connections) == 2
            one.close()


async def test_a_turn_that_is_killed_at_every_event_boundary_lacks_and_doubles_nothing(tmp_path: Path) -> None:
    """Here nothing ends, so nothing is read again: only what the streams bring is shown."""
    talk = CONVERSATION[:-2]
    want = timeless(items(expected(talk)))
    async with signed_in(tmp_path) as rig:
        for at in range(4, len(talk)):
            for way in (CUT, ROTATE):
                plans = [(at - 4, way), (1_000, HANG)]
                run = ScriptedRun(rig, talk, released=4, ends=False, plans=plans, repeats=min(at - 4, 2))
                async with following(run, tmp_path) as one:
                    # Its log was read before: what happens now comes on the streams only.
                    await until(lambda one=one: one.now.kind == LIVE)  # type: ignore[misc]
                    run.release(len(talk))
                    found = lambda one=one: timeless(items(one.transcript))  # noqa: E731
                    await until(lambda found=found: found() == want)  # type: ignore[misc]
                    await until(lambda run=run: len(run.connections) == 2)  # type: ignore[misc]
                    assert found() == want, (at, way)


async def test_a_run_whose_every_connection_brings_one_event_has_the_same_transcript(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        ways: list[Callable[[], ScriptedRun]] = [
            lambda: ScriptedRun(rig, CONVERSATION, plans=[(1, CUT)] * len(CONVERSATION)),
            lambda: ScriptedRun(rig, CONVERSATION, plans=[(1 + 3, ROTATE)] * len(CONVERSATION), repeats=3),
            lambda: ScriptedRun(rig, CONVERSATION, plans=[(3, CUT)] * 5, spacing=":  ", lag=2),
            lambda: ScriptedRun(rig, CONVERSATION, plans=[(5, CUT)] * 5, with_ids=False),
        ]
        for way in ways:
            run = way()
            one = await follow(run, tmp_path)
            assert timeless(items(one.transcript)) == timeless(items(expected()))
            one.close()


async def test_joining_at_every_place_of_a_conversation_shows_all_of_it(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        for at in range(len(CONVERSATION) + 1):
            run = ScriptedRun(rig, CONVERSATION, released=at)
            one = await follow(run, tmp_path)
            assert same(one.transcript, expected()), f"joined after {at}"
            one.close()


async def test_what_both_log_and_stream_have_is_shown_once_while_the_run_goes_on(tmp_path: Path) -> None:
    """Here nothing ends, so nothing is read again."""
    async with signed_in(tmp_path) as rig:
        for at in range(4, len(CONVERSATION) - 2):
            run = ScriptedRun(rig, CONVERSATION, released=at, ends=False)
            live = rig.server.views[f"{RUN}session_logs/"]

            def slow_log(request: object, run: ScriptedRun = run, live: object = live) -> Reply:
                # The stream is open: what happens now comes there too.
                if run.released < len(CONVERSATION) - 2:
                    run.release(len(CONVERSATION))
                    run.released = len(CONVERSATION) - 2
                return live(request)  # type: ignore[operator,no-any-return]

            rig.server.views[f"{RUN}session_logs/"] = slow_log
            async with following(run, tmp_path) as one:
                await until(lambda one=one: one.now.kind == LIVE)  # type: ignore[misc]
                want = timeless(items(expected(CONVERSATION[:-2])))
                await until(lambda one=one, want=want: timeless(items(one.transcript)) == want)  # type: ignore[misc]


async def test_a_message_that_was_joined_in_the_middle_is_whole_when_its_turn_has_ended(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, CONVERSATION, released=6, ends=False, lag=1)
        async with following(run, tmp_path) as one:
            await until(lambda: one.now.kind == LIVE)
            run.release(1)
            await until(lambda: shown(one.transcript)[-1] == "says at it.")
            run.lag = 0
            run.release(18)
            await until(lambda: "says Let me look at it." in shown(one.transcript))
            assert "says at it." not in shown(one.transcript)


async def test_the_end_of_a_stream_is_not_taken_for_the_end_of_the_run(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, CONVERSATION, plans=[(9, ROTATE), (3, ROTATE)])
        one = await follow(run, tmp_path)
        assert [each["last"] for each in run.connections] == ["", "e-9", "e-12"]
        assert same(one.transcript, expected())
        one.close()


async def test_a_token_that_dies_in_the_middle_is_renewed_once(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, CONVERSATION, plans=[(9, CUT)])
        for path, view in list(rig.server.views.items()):
            if path.startswith(RUN):
                inner = view

                def guarded(request: object, inner: object = inner) -> Reply:
                    live = request.bearer == rig.issuer.access_token  # type: ignore[attr-defined]
                    return inner(request) if live else DEAD  # type: ignore[operator]

                rig.server.views[path] = guarded
        one = RunFollower(run.runs, "t1", "r1", folder=tmp_path)
        one.transcript.changed.subscribe(lambda _: rig.issuer.kill() if len(run.connections) == 1 else None)
        async with asyncio.timeout(20):
            await one.follow()
        assert rig.issuer.accepted == 1
        assert same(one.transcript, expected())
        one.close()


async def test_a_silent_socket_is_given_up_after_ninety_seconds(tmp_path: Path) -> None:
    clock = StillClock()
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, CONVERSATION, plans=[(9, HANG)])
        async with following(run, tmp_path, clock) as one:
            await until(lambda: one.now.kind == LIVE)
            run.release(9)
            await until(lambda: len(one.transcript) == 4)
            clock.advance(89)
            await asyncio.sleep(0.01)
            assert len(run.connections) == 1
            clock.advance(2)
            await until(lambda: one.now.kind == WAITING)
            clock.advance(60)
            await until(lambda: one.now.kind == ENDED)
            assert run.connections[1]["last"] == "e-9"
            assert same(one.transcript, expected())


async def test_too_many_streams_are_waited_for_as_long_as_the_server_asks(tmp_path: Path) -> None:
    clock = StillClock()
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, CONVERSATION, refusals=[Reply(503, {"detail": "Busy."}, {"Retry-After": "40"})])
        async with following(run, tmp_path, clock) as one:
            await until(lambda: one.now.kind == WAITING)
            assert one.now.seconds == 40
            assert isinstance(one.now.error, ServerTrouble)
            clock.advance(39)
            assert run.connections == []
            clock.advance(2)
            await until(lambda: one.now.kind == ENDED)


async def test_a_nudge_ends_the_wait(tmp_path: Path) -> None:
    clock = StillClock()
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, CONVERSATION, refusals=[Reply(503, {"detail": "Busy."}, {"Retry-After": "40"})])
        async with following(run, tmp_path, clock) as one:
            await until(lambda: one.now.kind == WAITING)
            one.nudge()
            await until(lambda: one.now.kind == ENDED)


async def test_a_run_that_is_gone_is_not_asked_for_again(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, CONVERSATION)
        del rig.server.views[RUN]
        one = RunFollower(run.runs, "t1", "r1", folder=tmp_path)
        await one.follow()
        assert one.now.kind == FAILED
        assert isinstance(one.now.error, NotFound)
        assert rig.server.requests[RUN] == 1
        one.close()


async def test_a_server_that_always_fails_is_given_up_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "PAUSES", (0.001,) * 3)
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, CONVERSATION, refusals=[Reply(500)] * 4)
        one = RunFollower(run.runs, "t1", "r1", folder=tmp_path)
        await one.follow()
        assert one.now.kind == FAILED
        await one.follow()
        assert one.now.kind == ENDED
        one.close()


async def test_a_run_that_has_ended_is_only_read(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, CONVERSATION, released=len(CONVERSATION), status="failed")
        one = await follow(run, tmp_path)
        assert run.connections == []
        assert same(one.transcript, expected())
        assert not one.transcript.state.busy
        one.close()


async def test_a_log_whose_pages_do_not_say_whether_others_follow_is_read_whole(tmp_path: Path) -> None:
    said = [note("console", message=str(number)) for number in range(LOG_PAGE + 1)]
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, said, released=len(said), status="completed")
        pages = rig.server.views[f"{RUN}session_logs/"]

        def without_word(request: Request) -> Reply:
            return replace(pages(request), headers={})  # type: ignore[operator]

        rig.server.views[f"{RUN}session_logs/"] = without_word
        one = await follow(run, tmp_path)
        assert len(one.transcript) == len(said)
        one.close()


async def test_a_run_that_broke_off_in_a_turn_is_read_as_far_as_its_log_goes(tmp_path: Path) -> None:
    broken = [note("run_started", runId="r1"), prompt("Go", 1), message("I begin."), note("error", message="Killed.")]
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, broken, released=len(broken), status="failed")
        one = await follow(run, tmp_path)
        assert one.now.kind == ENDED
        assert shown(one.transcript) == ["> Go", "says I begin.", "error Killed."]
        assert not one.transcript.state.busy
        one.close()


async def test_a_resumed_run_begins_with_the_runs_that_it_goes_on_from(tmp_path: Path) -> None:
    first = [note("run_started", runId="r0"), prompt("Before", 1), chunk("Yes."), ended(1)]
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, CONVERSATION, ancestors={"r0": stored_form(first)}, state={"resume_from_run_id": "r0"})
        one = await follow(run, tmp_path)
        assert shown(one.transcript)[:3] == ["> Before", "says Yes.", "end end_turn"]
        assert shown(one.transcript)[3:] == shown(expected())
        one.close()


async def test_nothing_is_under_way_in_a_run_that_waits_to_go_on_from_one_that_was_cut_off(tmp_path: Path) -> None:
    first = [note("run_started", runId="r0"), prompt("Before", 1), call("c1"), ask("p1", "c1")]
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, CONVERSATION, status="queued", ancestors={"r0": first}, ends=False)
        run.state = {"resume_from_run_id": "r0"}
        async with following(run, tmp_path) as one:
            await until(lambda: one.now.kind == LIVE)
            assert shown(one.transcript)[-1] == "asks Write cancelled"
            assert (one.transcript.state.busy, one.transcript.state.waiting) == (False, ())
            # There is nothing to stop, and what the next run says of itself is not late.
            one.transcript.stop_turn()
            run.release(2)
            await until(lambda: len(one.transcript) == 4)
            assert not items(one.transcript)[-1].late


async def test_a_run_whose_server_streams_nothing_is_read_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "POLL_SECONDS", 0.005)
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, CONVERSATION)
        del rig.server.views[f"{RUN}stream/"]
        async with following(run, tmp_path) as one:
            for _ in CONVERSATION:
                run.release()
                stored = Transcript("r1")
                stored.apply(entries(*stored_form(CONVERSATION[: run.released])))
                want = timeless(items(stored))
                await until(lambda one=one, want=want: timeless(items(one.transcript)) == want)  # type: ignore[misc]
            run.status = "completed"
            await until(lambda: one.now.kind == ENDED)


async def test_whatever_is_said_and_whatever_breaks_the_transcript_is_that_of_the_log(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        for seed in (3, 41, 238, 577):
            chosen = random.Random(seed)
            talk = any_talk(chosen)
            run = ScriptedRun(
                rig,
                talk,
                plans=[(chosen.randint(0, 6), chosen.choice([CUT, ROTATE])) for _ in range(chosen.randint(0, 12))],
                released=chosen.randint(0, len(talk)),
                lag=chosen.choice([0, 1, 3]),
                repeats=chosen.choice([0, 2, 5]),
                with_ids=chosen.random() < 0.8,
            )
            one = await follow(run, tmp_path)
            assert timeless(items(one.transcript)) == timeless(items(expected(talk))), seed
            assert one.transcript.state == expected(talk).state
            one.close()


def any_talk(chosen: random.Random) -> list[Rpc]:
    """A run that says the same things again and again, in no order."""
    number = 0
    found: list[Rpc] = [note("run_started", runId="r1")]
    for turn in range(1, chosen.randint(3, 5)):
        found.append(prompt(f"prompt {turn}", turn))
        for _ in range(chosen.randint(0, 8)):
            number += 1
            name, asked = f"c{number}", f"q{number}"
            found += chosen.choice(
                [
                    [chunk(chosen.choice(["ha", "ha ", "a", "well, "])) for _ in range(3)],
                    [call(name), progress(name, "in_progress"), progress(name, content=output("x"))],
                    [note("console", message=chosen.choice(["same", "other"]))],
                    [update("usage_update", used=chosen.randint(1, 3))],
                    [chunk("hm", "agent_thought_chunk")],
                    [
                        *(call(name), ask(asked, name), stream_ask(asked, name)),
                        *(note("permission_response", requestId=asked, optionId="allow"), progress(name)),
                    ],
                ]
            )
        found.append(ended(turn))
    return found


async def test_the_state_of_the_run_follows_its_stream(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as rig:
        change = {"type": "task_run_state", "status": "in_progress", "branch": "posthog/fix", "state": {"a": 1}}
        run = ScriptedRun(rig, [*CONVERSATION[:5], change], ends=False)
        async with following(run, tmp_path) as one:
            await until(lambda: one.now.kind == LIVE)
            run.release(6)
            await until(lambda: one.run is not None and one.run.branch == "posthog/fix")


async def test_what_a_stream_asks_of_a_desktop_is_neither_carried_out_nor_shown(tmp_path: Path) -> None:
    """A tool of this machine, such as one that an embedded app wants, is called with its owner's approval only."""
    wanted = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "delete_everything"}}
    asked = [
        {"type": "mcp_request", "requestId": "q1", "server": "files", "payload": wanted, "expiresAt": None},
        {"type": "credential_request", "requestId": "q2"},
    ]
    async with signed_in(tmp_path) as rig:
        run = ScriptedRun(rig, [*CONVERSATION[:5], *asked, *CONVERSATION[5:7]], ends=False)
        async with following(run, tmp_path) as one:
            await until(lambda: one.now.kind == LIVE)
            before = dict(rig.server.requests)
            run.release(9)
            await until(lambda: shown(one.transcript)[-1:] == ["says Let me look at it."])
            assert len(one.transcript) == 3
            assert rig.server.requests == before


def test_pauses_grow_end_after_thirty_failures_and_begin_anew_after_a_healthy_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    clock = StillClock()
    one = Backoff(clock)
    pauses = [one.failed() for _ in range(10)]
    assert pauses[-1] is None
    assert [round(pause or 0, 9) > 0 for pause in pauses[:-1]] == [True] * 9
    assert 24 <= (pauses[8] or 0) <= 36
    one.connected()
    clock.advance(61)
    assert (one.failed() or 9) <= 0.6
    for _ in range(28):
        one._in_a_row = 0
        assert one.failed() is not None
    one._in_a_row = 0
    assert [one.failed(), one.failed()] != [None, None]
    assert one.failed(at_least=70) is None
    assert one.offline() <= 36


def test_a_stream_that_ends_as_it_should_is_opened_again_soon_however_many_failed_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    clock = StillClock()
    one = Backoff(clock)
    for _ in range(8):
        one.failed()
    pauses = []
    for _ in range(6):
        one.connected()
        clock.advance(1)
        pauses.append(one.ended() or 0.0)
    assert pauses[0] == 0
    assert 0 < max(pauses[1:4]) <= 0.6
    assert pauses[5] > 1.5


def test_time_without_a_network_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    one = Backoff(StillClock())
    pauses = [one.offline() for _ in range(20)]
    assert pauses[0] < 1 < 24 <= pauses[-1] <= 36
    # The first answer of a network that is back is often an error.
    assert (one.failed() or 9) <= 0.6


def test_a_stream_that_held_for_long_and_ended_as_it_should_makes_earlier_failures_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    clock = StillClock()
    one = Backoff(clock)
    for _ in range(2 * backoff.MOST_FAILURES):
        one.connected()
        assert one.failed() is not None
        one.connected()
        clock.advance(900)
        assert one.ended() == 0
