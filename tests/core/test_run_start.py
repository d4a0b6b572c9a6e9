"""Starting a run over the contract: what is sent, what is repeated, and that there is never a second run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import NotFound, OutcomeUnknown, PermissionMissing, QuotaReached, Rejected, ServerTrouble
from app.core.posthog.github import GitHub
from app.core.posthog.models import AgentModels
from app.core.posthog.run_attempts import KeptAttempts, UnfinishedStart
from app.core.posthog.run_errors import StartedOtherwise
from app.core.posthog.run_files import RunFile
from app.core.posthog.run_options import RunOptions
from app.core.posthog.run_start import RunStart
from app.core.posthog.tasks import Tasks
from app.core.posthog.types import Task, TaskRun
from app.core.storage import Scope, Storage, attachments
from tests.core.conftest import Rig, signed_in
from tests.core.scripted import Reply, Request

TASKS = "/api/projects/7/tasks/"
TASK = f"{TASKS}1/"
MODELS = {
    "models": [
        {"runtime_adapter": "codex", "model": "gpt", "supported_efforts": ["low", "high"]},
        {"runtime_adapter": "claude", "model": "sonnet", "supported_efforts": ["low"]},
    ]
}
BOUND = Task("1", title="t", repository="o/r", github_integration=3)
NOTES = RunFile("notes.txt", "text/plain", 5, lambda: b"notes")


@dataclass
class Desk:
    """A server that has a task and starts runs of it."""

    rig: Rig
    starter: RunStart
    runs: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def path(self, name: str) -> str:
        return f"{TASK}{name}"

    def sent(self, name: str) -> list[dict[str, Any]]:
        """The bodies of the POSTs to a path below the task."""
        seen = [each for each in self.rig.server.seen if each.path == self.path(name) and each.method == "POST"]
        return [json.loads(each.body) for each in seen]

    def run(self, request: Request, status: str = "queued") -> dict[str, Any]:
        body = json.loads(request.body)
        made = {
            "id": f"r{len(self.runs) + 1}",
            "status": status,
            "environment": body.get("environment", "local"),
            "model": body.get("model"),
            "created_at": datetime.now(UTC).isoformat(),
        }
        self.runs.insert(0, made)
        return made

    def task(self) -> dict[str, Any]:
        return {"id": "1", "title": "t", "latest_run": self.runs[0] if self.runs else None}

    def takes_files(self, place: str) -> None:
        """Have a place for files below the task."""

        def prepare(request: Request) -> Reply:
            [asked] = json.loads(request.body)["artifacts"]
            number = f"f{len(self.files) + 1}"
            self.files[number] = asked["name"]
            post = {"url": f"{self.rig.server.origin}/up", "fields": {"key": "k", "policy": "p"}}
            return Reply(200, {"artifacts": [{"id": number, "storage_path": number, "presigned_post": post}]})

        def finalize(request: Request) -> Reply:
            return Reply(200, {"artifacts": [{"id": json.loads(request.body)["artifacts"][0]["id"]}]})

        self.rig.server.views[self.path(f"{place}/prepare_upload/")] = prepare
        self.rig.server.views[self.path(f"{place}/finalize_upload/")] = finalize
        self.rig.server.views["/up"] = Reply(204)

    def starts_in_two_steps(self) -> None:
        """Lack `run/`."""
        del self.rig.server.views[self.path("run/")]

        def runs(request: Request) -> Reply:
            if request.method == "GET":
                return Reply(200, {"count": len(self.runs), "results": self.runs})
            return Reply(201, self.run(request))

        def start(_request: Request) -> Reply:
            self.runs[0]["status"] = "in_progress"
            return Reply(200, self.task())

        views = self.rig.server.views
        views[self.path("runs/")] = runs
        views[self.path("runs/r1/")] = lambda _request: Reply(200, self.runs[0])
        views[self.path("runs/r1/start/")] = start


@asynccontextmanager
async def desk_of(folder: Path) -> AsyncIterator[Desk]:
    async with signed_in(folder) as rig:
        fetcher, project = rig.fetcher, lambda: 7
        github = GitHub(fetcher, rig.host, project, Tasks(fetcher, project).repositories)
        desk = Desk(rig, RunStart(fetcher, project, AgentModels(fetcher, rig.host, project), github))

        def run(request: Request) -> Reply:
            desk.run(request)
            return Reply(200, desk.task())

        rig.server.views[f"{TASKS}models/"] = Reply(200, MODELS)
        rig.server.views[TASK] = lambda _request: Reply(200, desk.task())
        rig.server.views[desk.path("run/")] = run
        rig.server.views[desk.path("runs/")] = lambda _request: Reply(
            200, {"count": len(desk.runs), "results": desk.runs}
        )
        yield desk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


async def test_without_a_model_no_mode_could_be_sent_so_no_run_is_started(folder: Path) -> None:
    async with desk_of(folder) as desk:
        for models in (Reply(404), Reply(200, {"models": []})):
            desk.rig.server.views[f"{TASKS}models/"] = models
            with pytest.raises(Rejected) as refused:
                await desk.starter.start(BOUND)
            assert refused.value.facts.attr == "model"
        assert desk.runs == []
        # Whoever names one needs no list.
        await desk.starter.start(BOUND, RunOptions(model="claude-x"))
        assert desk.sent("run/")[0]["initial_permission_mode"] == "plan"


async def test_a_run_is_started_with_everything_that_was_chosen_and_nothing_that_the_model_does_not_know(
    folder: Path,
) -> None:
    async with desk_of(folder) as desk:
        started = await desk.starter.start(BOUND)
        assert started.latest_run is not None
        assert started.latest_run.id == "r1"
        usual = {
            "mode": "interactive",
            "environment": "cloud",
            "run_source": "manual",
            "pr_authorship_mode": "bot",
            "runtime_adapter": "claude",
            "model": "sonnet",
            "initial_permission_mode": "plan",
        }
        assert desk.sent("run/") == [usual]
        chosen = RunOptions(
            "codex", "gpt", "high", "read-only", "main", "r0", "Go on.", "user", "env", "img", publish=False
        )
        await desk.starter.start(BOUND, chosen)
        assert desk.sent("run/")[1] == usual | {
            "runtime_adapter": "codex",
            "model": "gpt",
            "reasoning_effort": "high",
            "initial_permission_mode": "read-only",
            "branch": "main",
            "resume_from_run_id": "r0",
            "pending_user_message": "Go on.",
            "pr_authorship_mode": "user",
            "sandbox_environment_id": "env",
            "custom_image_id": "img",
            "auto_publish": False,
        }
        # An effort of another model, and a mode of the other agent.
        await desk.starter.start(BOUND, RunOptions("claude", "sonnet", "high", "full-access"))
        assert desk.sent("run/")[2] == usual


async def test_pull_requests_are_the_persons_own_where_they_have_connected_github(folder: Path) -> None:
    async with desk_of(folder) as desk:
        mine = {"id": "u-1", "kind": "github", "installation_id": 9, "account": {"name": "ada"}}
        desk.rig.server.views["/api/users/@me/integrations/"] = Reply(200, {"results": [mine]})
        patched: list[dict[str, Any]] = []

        def task(request: Request) -> Reply:
            if request.method == "PATCH":
                patched.append(json.loads(request.body))
            return Reply(200, desk.task())

        desk.rig.server.views[TASK] = task
        await desk.starter.start(Task("1", repository="o/r"))
        assert desk.sent("run/")[0]["pr_authorship_mode"] == "user"
        assert patched == [{"github_user_integration": "u-1"}]
        await desk.starter.start(BOUND)
        assert len(patched) == 1


async def test_a_run_of_a_report_says_so(folder: Path) -> None:
    async with desk_of(folder) as desk:
        await desk.starter.start(Task("1", origin_product="signal_report", signal_report="s-1"))
        body = desk.sent("run/")[0]
        assert (body["run_source"], body["signal_report_id"]) == ("signal_report", "s-1")


async def test_a_start_whose_answer_was_lost_is_not_repeated_while_its_run_is_there(folder: Path) -> None:
    async with desk_of(folder) as desk:

        def lost(request: Request) -> Reply:
            desk.run(request)
            return Reply(drop=True)

        desk.runs.append({"id": "old", "status": "completed", "environment": "cloud"})
        desk.rig.server.views[desk.path("run/")] = lost
        task = Task("1", repository="o/r", github_integration=3, latest_run=TaskRun("old", status="completed"))
        with pytest.raises(OutcomeUnknown):
            await desk.starter.start(task)
        # While it cannot be looked up, nothing is sent.
        runs, desk.rig.server.views[desk.path("runs/")] = desk.rig.server.views[desk.path("runs/")], Reply(500)
        with pytest.raises(ServerTrouble):
            await desk.starter.start(task)
        desk.rig.server.views[desk.path("runs/")] = runs
        started = await desk.starter.start(task, RunOptions(branch="another"))
        assert started.latest_run is not None
        assert started.latest_run.id == "r2"
        assert len(desk.sent("run/")) == 1


async def test_a_start_that_had_arrived_with_another_message_does_not_pass_for_this_one(folder: Path) -> None:
    async with desk_of(folder) as desk:

        def lost(request: Request) -> Reply:
            desk.run(request)
            return Reply(drop=True)

        desk.rig.server.views[desk.path("run/")] = lost
        with pytest.raises(OutcomeUnknown):
            await desk.starter.start(BOUND, RunOptions(message="One"))
        with pytest.raises(StartedOtherwise) as otherwise:
            await desk.starter.start(BOUND, RunOptions(message="One\n\nTwo"))
        assert otherwise.value.run.id == "r1"
        assert len(desk.sent("run/")) == 1


async def test_a_start_that_never_arrived_is_repeated(folder: Path) -> None:
    async with desk_of(folder) as desk:
        usual, desk.rig.server.views[desk.path("run/")] = desk.rig.server.views[desk.path("run/")], Reply(drop=True)
        with pytest.raises(OutcomeUnknown):
            await desk.starter.start(BOUND)
        desk.rig.server.views[desk.path("run/")] = usual
        # Somebody else's, of another model, is not mistaken for it.
        desk.runs.append({"id": "other", "status": "queued", "environment": "cloud", "model": "gpt"})
        await desk.starter.start(BOUND)
        assert len(desk.sent("run/")) == 2


async def test_an_upload_that_fails_half_way_starts_nothing_and_is_gone_on_with(folder: Path) -> None:
    async with desk_of(folder) as desk:
        desk.takes_files("staged_artifacts")
        second = RunFile("two.txt", "text/plain", 3, lambda: b"two")
        uploads: list[bytes] = []

        def up(request: Request) -> Reply:
            uploads.append(request.body)
            return Reply(500 if len(uploads) == 2 else 204)

        desk.rig.server.views["/up"] = up
        with pytest.raises(ServerTrouble):
            await desk.starter.start(BOUND, files=[NOTES, second])
        assert desk.runs == []
        await desk.starter.start(BOUND, files=[NOTES, second])
        # The first is not sent again.
        assert [b"notes.txt" in each for each in uploads] == [True, False, False]
        assert desk.sent("run/")[0]["pending_user_artifact_ids"] == ["f1", "f3"]
        seen = [each for each in desk.rig.server.seen if each.path == "/up"]
        assert not any("authorization" in each.headers for each in seen)


async def test_files_that_the_server_has_lost_are_sent_again_once_and_then_named(folder: Path) -> None:
    async with desk_of(folder) as desk:
        desk.takes_files("staged_artifacts")
        usual = desk.rig.server.views[desk.path("run/")]
        losses = iter([["f1"], ["f2"]])

        def lost(request: Request) -> Reply:
            missing = next(losses, None)
            if missing is None:
                assert not isinstance(usual, Reply)
                answer = usual(request)
                assert isinstance(answer, Reply)
                return answer
            return Reply(400, {"code": "invalid", "detail": "Missing artifacts.", "missing_artifact_ids": missing})

        desk.rig.server.views[desk.path("run/")] = lost
        with pytest.raises(Rejected) as refused:
            await desk.starter.start(BOUND, files=[NOTES])
        assert refused.value.facts.missing_files == ("notes.txt",)
        assert desk.files == {"f1": "notes.txt", "f2": "notes.txt"}
        await desk.starter.start(BOUND, files=[NOTES])
        assert desk.sent("run/")[-1]["pending_user_artifact_ids"] == ["f3"]


async def test_a_server_without_the_one_way_is_asked_for_the_other(folder: Path) -> None:
    async with desk_of(folder) as desk:
        desk.starts_in_two_steps()
        desk.takes_files("runs/r1/artifacts")
        started = await desk.starter.start(BOUND, RunOptions(message="Hello"), [NOTES])
        assert started.latest_run is not None
        assert started.latest_run.status == "in_progress"
        assert desk.sent("runs/")[0]["environment"] == "cloud"
        assert "pending_user_message" not in desk.sent("runs/")[0]
        assert desk.sent("runs/r1/start/") == [{"pending_user_artifact_ids": ["f1"], "pending_user_message": "Hello"}]


async def test_a_run_that_was_made_and_not_started_is_gone_on_with(folder: Path) -> None:
    async with desk_of(folder) as desk:
        desk.starts_in_two_steps()
        runs = desk.rig.server.views[desk.path("runs/")]

        def lost(request: Request) -> Reply:
            if request.method == "GET":
                return Reply(200, {"count": 1, "results": desk.runs})
            desk.run(request)
            return Reply(drop=True)

        desk.rig.server.views[desk.path("runs/")] = lost
        with pytest.raises(OutcomeUnknown):
            await desk.starter.start(BOUND)
        desk.rig.server.views[desk.path("runs/")] = runs
        start, desk.rig.server.views[desk.path("runs/r1/start/")] = (
            desk.rig.server.views[desk.path("runs/r1/start/")],
            Reply(503, {"code": "desktop_access_unavailable", "detail": "Try again."}),
        )
        with pytest.raises(ServerTrouble) as trouble:
            await desk.starter.start(BOUND)
        assert trouble.value.facts.code == "desktop_access_unavailable"
        desk.rig.server.views[desk.path("runs/r1/start/")] = start
        await desk.starter.start(BOUND)
        assert [run["id"] for run in desk.runs] == ["r1"]


async def test_a_run_that_was_made_for_other_options_is_cancelled(folder: Path) -> None:
    async with desk_of(folder) as desk:
        desk.starts_in_two_steps()
        desk.rig.server.views[desk.path("runs/r1/start/")] = Reply(503)
        with pytest.raises(ServerTrouble):
            await desk.starter.start(BOUND)
        desk.rig.server.views[desk.path("runs/r1/cancel/")] = Reply(202, {})
        desk.rig.server.views[desk.path("runs/r2/start/")] = lambda _request: Reply(200, desk.task())
        await desk.starter.start(BOUND, RunOptions(branch="dev"))
        assert desk.rig.server.requests[desk.path("runs/r1/cancel/")] == 1
        assert [body.get("branch") for body in desk.sent("runs/")] == [None, "dev"]


async def test_an_ended_run_is_gone_on_with_from_where_it_pushed_and_with_its_agent(folder: Path) -> None:
    async with desk_of(folder) as desk:
        ended = TaskRun(
            "r0",
            status="completed",
            branch="main",
            runtime_adapter="codex",
            model="gpt",
            output={"head_branch": "agent/work"},
            state={"initial_permission_mode": "read-only", "pr_base_branch": "main"},
        )
        started = await desk.starter.go_on(BOUND, ended, "Now the tests")
        assert started.id == "r1"
        [body] = desk.sent("run/")
        expected = {
            "resume_from_run_id": "r0",
            "pending_user_message": "Now the tests",
            "branch": "agent/work",
            "model": "gpt",
            "initial_permission_mode": "read-only",
        }
        assert body | expected == body


async def test_files_go_with_a_message_to_a_run_that_is_there(folder: Path) -> None:
    async with desk_of(folder) as desk:
        with pytest.raises(NotFound):
            await desk.starter.upload("1", "r9", [NOTES])
        desk.rig.server.views[desk.path("runs/r9/")] = Reply(200, {"id": "r9", "status": "in_progress"})
        with pytest.raises(Rejected, match="takes no files"):
            await desk.starter.upload("1", "r9", [NOTES])
        desk.takes_files("runs/r9/artifacts")
        assert await desk.starter.upload("1", "r9", [NOTES]) == ["f1"]


async def test_a_server_that_takes_no_files_says_so_and_starts_nothing(folder: Path) -> None:
    async with desk_of(folder) as desk:
        desk.rig.server.views[desk.path("runs/")] = Reply(405, {"code": "method_not_allowed", "detail": "No."})
        with pytest.raises(Rejected, match="takes no files"):
            await desk.starter.start(BOUND, files=[NOTES])
        assert desk.runs == []
        # A task that is not there is another matter.
        desk.rig.server.views[TASK] = Reply(404)
        with pytest.raises(NotFound):
            await desk.starter.start(BOUND, files=[NOTES])


async def test_refusals_say_in_values_what_helps(folder: Path) -> None:
    async with desk_of(folder) as desk:
        limit = {"type": "rate_limited", "code": "usage_limit_exceeded", "error": "Limit.", "is_pro": False}
        answers: list[tuple[Reply, type[Exception]]] = [
            (Reply(429, {**limit, "limit_type": "burst", "reset_at": "2026-11-29T20:00:00Z"}), QuotaReached),
            (Reply(429, {"code": "billing_limit", "detail": "Billing."}), QuotaReached),
            (Reply(429, {"code": "signal_report_task_cap", "detail": "Cap."}), QuotaReached),
            (Reply(400, {"code": "github_authorization_required", "attr": "pr_authorship_mode"}), Rejected),
            (Reply(403, {"code": "permission_denied", "detail": "No."}), PermissionMissing),
            (Reply(503, {"detail": "Could not verify the plan."}), ServerTrouble),
        ]
        facts = []
        for answer, kind in answers:
            desk.rig.server.views[desk.path("run/")] = answer
            with pytest.raises(kind) as refused:
                await desk.starter.start(BOUND)
            facts.append(refused.value.facts)  # type: ignore[attr-defined]
        assert facts[0].limit is not None
        assert (facts[0].limit.kind, facts[0].limit.paid) == ("burst", False)
        assert facts[0].limit.resets_at == datetime(2026, 11, 29, 20, tzinfo=UTC)
        assert facts[3].attr == "pr_authorship_mode"
        assert desk.runs == []


# After another start of Burrow

SCOPE = Scope("host", "me")


@asynccontextmanager
async def process(desk: Desk, folder: Path) -> AsyncIterator[tuple[RunStart, Storage]]:
    """Another process that starts runs, on the same data folder."""
    storage, project = Storage.open(folder / "data"), lambda: 7
    kept = KeptAttempts(storage.run_starts, storage.attachments, lambda: SCOPE, project)
    fetcher, host = desk.rig.fetcher, desk.rig.host
    github = GitHub(fetcher, host, project, Tasks(fetcher, project).repositories)
    try:
        yield RunStart(fetcher, project, AgentModels(fetcher, host, project), github, kept), storage
    finally:
        await storage.close()


def kept_file(storage: Storage) -> RunFile:
    file = storage.attachments.add_content("notes.txt", "text/plain", b"notes")
    return RunFile(file.name, file.type, file.size, lambda: b"notes", file.digest)


@asynccontextmanager
async def dies_at(desk: Desk, folder: Path, path: str, options: RunOptions | None = None) -> AsyncIterator[RunStart]:
    """A process that dies while its request to a path is under way, with a file that it was to upload.

    What is yielded is another process, which was there before.
    """
    arrived, usual = asyncio.Event(), desk.rig.server.views.get(path)

    async def never(request: Request) -> Reply:
        # It arrives, and the answer does not.
        if usual is not None and not isinstance(usual, Reply):
            usual(request)
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with process(desk, folder) as (other, _):
        async with process(desk, folder) as (starter, storage):
            desk.rig.server.views[path] = never
            starting = asyncio.create_task(starter.start(BOUND, options, [kept_file(storage)]))
            await arrived.wait()
            # Who is at work is not taken for dead.
            assert await other.unfinished() == ()
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await storage.delete_unnamed_attachments()
        if usual is None:
            del desk.rig.server.views[path]
        else:
            desk.rig.server.views[path] = usual
        yield other


async def test_a_run_that_was_made_before_burrow_died_is_started_by_the_next_with_its_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Copies of files that nothing names would go at once.
    monkeypatch.setattr(attachments, "KEPT_SECONDS", -1.0)
    async with desk_of(folder) as desk:
        desk.starts_in_two_steps()
        desk.takes_files("runs/r1/artifacts")
        options = RunOptions(branch="dev", message="Hello")
        async with dies_at(desk, folder, "/up", options) as starter:
            [left] = await starter.unfinished()
            assert left == UnfinishedStart("1", "r1", options)
            await starter.start(BOUND, left.options)
            [started] = desk.sent("runs/r1/start/")
            assert started["pending_user_message"] == "Hello"
            assert [desk.files[each] for each in started["pending_user_artifact_ids"]] == ["notes.txt"]
            assert len(desk.runs) == 1
            assert await starter.unfinished() == ()
        async with process(desk, folder) as (later, _):
            assert await later.unfinished() == ()


async def test_a_start_that_burrow_died_in_is_looked_for_before_another_one(folder: Path) -> None:
    async with desk_of(folder) as desk:
        desk.starts_in_two_steps()
        async with dies_at(desk, folder, desk.path("runs/")) as starter:
            # It arrived, although its answer did not.
            [left] = await starter.unfinished()
            assert left.run == "r1"
            desk.takes_files("runs/r1/artifacts")
            await starter.start(BOUND)
            assert [run["id"] for run in desk.runs] == ["r1"]


async def test_a_start_that_never_left_is_offered_again(folder: Path) -> None:
    async with desk_of(folder) as desk, dies_at(desk, folder, f"{TASKS}models/") as starter:
        assert await starter.unfinished() == (UnfinishedStart("1", "", RunOptions()),)
        desk.takes_files("staged_artifacts")
        await starter.start(BOUND)
        assert len(desk.sent("run/")) == 1
        assert len(desk.sent("run/")[0]["pending_user_artifact_ids"]) == 1


async def test_a_run_that_is_not_wanted_any_more_is_cancelled(folder: Path) -> None:
    async with desk_of(folder) as desk:
        desk.starts_in_two_steps()
        desk.takes_files("runs/r1/artifacts")
        async with dies_at(desk, folder, "/up") as starter:
            await starter.unfinished()
            desk.rig.server.views[desk.path("runs/r1/cancel/")] = Reply(503)
            with pytest.raises(ServerTrouble):
                await starter.give_up("1")
            # It can be tried again.
            desk.rig.server.views[desk.path("runs/r1/cancel/")] = Reply(202, {})
            await starter.give_up("1")
        async with process(desk, folder) as (later, _):
            assert await later.unfinished() == ()


@pytest.mark.parametrize("status", ["in_progress", "cancelled", "completed", "gone"])
async def test_what_was_started_or_cancelled_elsewhere_meanwhile_is_not_offered(folder: Path, status: str) -> None:
    async with desk_of(folder) as desk:
        desk.starts_in_two_steps()
        desk.takes_files("runs/r1/artifacts")
        async with dies_at(desk, folder, "/up") as starter:
            desk.runs[0]["status"] = status
            if status == "gone":
                desk.rig.server.views[desk.path("runs/r1/")] = Reply(404, {"detail": "Not found."})
            assert await starter.unfinished() == ()
            # A run that is wanted now is another one.
            desk.takes_files("runs/r2/artifacts")
            desk.rig.server.views[desk.path("runs/r2/start/")] = lambda _request: Reply(200, desk.task())
            await starter.start(BOUND)
            assert len(desk.runs) == 2


async def test_a_run_that_was_cancelled_before_its_start_is_not_taken_for_started(folder: Path) -> None:
    async with desk_of(folder) as desk:
        desk.starts_in_two_steps()
        desk.rig.server.views[desk.path("runs/r1/start/")] = Reply(503)
        with pytest.raises(ServerTrouble):
            await desk.starter.start(BOUND)
        desk.runs[0]["status"] = "cancelled"
        desk.rig.server.views[desk.path("runs/r2/start/")] = lambda _request: Reply(200, desk.task())
        await desk.starter.start(BOUND)
        assert [run["id"] for run in desk.runs] == ["r2", "r1"]
