"""A run that the real workspace carries out with the survey agent: followed, talked to, and gone on with.

Its stream breaks after every event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from app.core.errors import ServerTrouble
from app.core.posthog.accounts import Accounts
from app.core.posthog.run_files import RunFile
from app.core.posthog.run_options import RunOptions, going_on
from app.core.posthog.runs import Runs, StreamedEvent
from app.core.posthog.tasks import Tasks
from app.core.posthog.types import NewTask, TaskRun
from app.core.runs import backoff
from app.core.runs.conversation import Conversation
from app.core.runs.follower import RunFollower
from app.core.runs.history import StoredLog
from app.core.runs.items import Permission, Prompt, ToolCall, TurnEnd
from app.core.runs.transcript import Transcript
from app.core.storage import Scope, Storage
from tests.conftest import RunningWorkspace
from tests.core.runs.logs import items, timeless
from tests.core.test_posthog_workspace import connected, starter_of
from tests.until import until


class BreakingRuns(Runs):
    """Runs whose streams break after one event more each time, up to five."""

    connections = 0

    @asynccontextmanager
    async def stream(
        self, task: str, run: str, *, last_event_id: str = "", latest: bool = False
    ) -> AsyncIterator[AsyncIterator[StreamedEvent]]:
        self.connections += 1
        most = 1 + self.connections % 5
        async with super().stream(task, run, last_event_id=last_event_id, latest=latest) as events:

            async def broken() -> AsyncIterator[StreamedEvent]:
                count = 0
                async for event in events:
                    yield event
                    count += bool(event.id)
                    if count >= most:
                        raise ServerTrouble("The test broke the stream.")

            yield broken()


async def stored(runs: Runs, run: TaskRun) -> Transcript:
    """What the server's log leads to."""
    transcript = Transcript(run.id)
    again = transcript.rebuild()
    log = StoredLog(runs, run.task or "", run.id)
    await log.read_ancestors(run, again.apply)
    again.end_run()
    await log.read(again.apply)
    again.finish()
    transcript.finish()
    return transcript


def asked(transcript: Transcript) -> Permission:
    """The oldest question that waits."""
    index = transcript.index_of(transcript.state.waiting[0])
    assert index is not None
    found = transcript.item(index)
    assert isinstance(found, Permission)
    return found


async def test_a_real_run_is_followed_talked_to_and_gone_on_with_whatever_breaks(
    start_workspace: Callable[..., RunningWorkspace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = start_workspace("--runs", "1")
    monkeypatch.setattr(backoff, "PAUSES", (0.001,) * 1000)
    monkeypatch.setattr(backoff, "MOST_FAILURES", 10_000)
    storage = Storage.open(tmp_path / "data")
    async with connected(workspace, tmp_path) as fetcher:
        me = await Accounts(fetcher).me()
        assert me.team is not None
        project = me.team.id
        tasks, starter = Tasks(fetcher, lambda: project), starter_of(fetcher, project)
        task = await tasks.create(NewTask(description="Survey the shop", repository="hedgerow/shop"))
        known = (await tasks.get(task.id)).latest_run
        assert known is None
        begun = (await starter.start(task, RunOptions(mode="default"))).latest_run
        assert begun is not None
        runs = BreakingRuns(fetcher, lambda: project)

        async def go_on(run: TaskRun, text: str, files: Sequence[RunFile]) -> TaskRun:
            started = (await starter.start(await tasks.get(task.id), going_on(run, text), files)).latest_run
            assert started is not None
            return started

        one = Conversation(
            RunFollower(runs, task.id, begun.id, folder=tmp_path / "runs"),
            runs,
            storage.follow_ups,
            Scope("workspace", me.account_key),
            go_on=go_on,
            attachments=storage.attachments,
        )
        transcript = one.follower.transcript
        task_of_it = asyncio.create_task(one.run())
        try:
            # Typed while the run is still being set up.
            await one.send("And look at the notes")
            await until(lambda: transcript.state.waiting, 60)
            assert [each.text for each in one.queued] == ["And look at the notes"]
            await one.answer(asked(transcript), "allow_always")
            await until(lambda: sum(isinstance(each, TurnEnd) for each in items(transcript)) == 2, 60)
            assert one.queued == ()
            await one.close()
            await until(lambda: one.follower.now.kind == "ended", 60)
            first = one.follower.run
            assert first is not None
            assert first.status == "completed"
            assert timeless(items(transcript)) == timeless(items(await stored(runs, first)))
            assert runs.connections > 20
            # It has ended: the next message goes on with it in another run.
            before = [each.key for each in items(transcript)]
            await one.send("Once more")
            await until(lambda: one.follower.run_id != begun.id, 60)
            await until(lambda: transcript.state.waiting, 60)
            await one.answer(asked(transcript), "allow")
            await until(lambda: sum(isinstance(each, TurnEnd) for each in items(transcript)) == 3, 60)
            await one.close()
            await until(lambda: one.follower.now.kind == "ended", 60)
            second = one.follower.run
            assert second is not None
            assert (second.state or {})["resume_from_run_id"] == begun.id
            assert timeless(items(transcript)) == timeless(items(await stored(runs, second)))
            assert [each.key for each in items(transcript)][: len(before)] == before
            prompts = [each.text for each in items(transcript) if isinstance(each, Prompt)]
            assert prompts[:2] == ["Survey the shop", "And look at the notes"]
            assert "Once more" in prompts[2]
            calls = [each for each in items(transcript) if isinstance(each, ToolCall)]
            assert {each.status for each in calls} <= {"completed", "failed"}
        finally:
            task_of_it.cancel()
            with suppress(asyncio.CancelledError):
                await task_of_it
            one.follower.close()
            await storage.close()
