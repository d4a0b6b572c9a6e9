"""The life of one run that is carried out: set up, turns, end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING

from app.acp.messages import PeerClosed, RpcError
from app.workspace.code_host.git import GitFailed
from app.workspace.runner import credentials, prompts
from app.workspace.runner.agent_session import RunAgent, own_agent
from app.workspace.runner.journal import RunJournal
from app.workspace.runner.made import change, keep_what_was_made
from app.workspace.runner.questions import OpenQuestions
from app.workspace.runner.turns import FAILED, PromptTurns, Said
from app.workspace.runner.work_folder import (
    ATTACHMENTS,
    BOT,
    Author,
    RunFailed,
    WorkFolder,
    clone,
    empty_folder,
    find_repository,
    folder_of,
    make_branch,
)
from app.workspace.tasks import run_rows
from app.workspace.tasks.feeds import RunFeeds
from app.workspace.tasks.fields import TERMINAL

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from app.workspace.runner.journal import JsonObject
    from app.workspace.runtime.context import Workspace

log = logging.getLogger(__name__)
STOPPED = "The workspace was stopped while this run was under way. Run the task again to go on from its branch."
CANCEL_SECONDS = 2.0
# As at PostHog, an agent that was given no mode asks for nothing.
DEFAULT_MODES = {"codex": "auto"}


class CarriedRun:
    """A run with an agent. `carry_out` is its whole life; the other methods are called meanwhile, on the loop."""

    _journal: RunJournal

    def __init__(self, workspace: Workspace, run: sqlite3.Row, task: sqlite3.Row) -> None:
        self._workspace = workspace
        self._run = run
        self._task = task
        self._state: JsonObject = json.loads(run["state"])
        self._folder: WorkFolder | None = None
        self._grant: int | None = None
        self._end: tuple[str, str | None] | None = None
        self._ending = asyncio.Event()
        self._steering: set[asyncio.Task[None]] = set()
        self.session: RunAgent | None = None
        self.turns: PromptTurns | None = None
        self.questions: OpenQuestions | None = None

    @property
    def id(self) -> str:
        return str(self._run["id"])

    @property
    def ready(self) -> bool:
        """Whether the agent takes commands."""
        return self.turns is not None and self._end is None

    async def carry_out(self) -> None:
        """Returns when the run has ended, its agent with all its children too."""
        with self._workspace.state(RunFeeds).following(self.id) as feed:
            journal = self._journal = RunJournal(self._workspace, self.id, feed)
            working = asyncio.create_task(self._work(journal), name=f"work of run {self.id}")
            ending = asyncio.create_task(self._ending.wait())
            try:
                await asyncio.wait((working, ending), return_when=asyncio.FIRST_COMPLETED)
                if not working.done() and self.turns is not None and self.turns.cancel():
                    await asyncio.wait((working,), timeout=CANCEL_SECONDS)
            except asyncio.CancelledError:
                self._end = self._end or ("failed", STOPPED)
                raise
            finally:
                tasks = (working, ending, *self._steering)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                await asyncio.shield(self._finish(journal, self._outcome(working)))

    def end(self, status: str, error: str | None = None) -> None:
        """Begin to end the run."""
        if self._end is None:
            self._end = (status, error)
        self._ending.set()

    async def files(self, ids: object) -> list[Path]:
        """Put uploaded files where the agent can read them; their paths."""
        rows = await self._workspace.db.read(lambda db: prompts.named_files(db, ids))
        place = folder_of(self._workspace, self.id) / ATTACHMENTS
        return await asyncio.to_thread(prompts.save_files, place, rows)

    def steer(self, said: Said) -> None:
        """Say something into the turn that is under way."""
        assert self.turns is not None
        task = asyncio.create_task(self._steer(self.turns, said))
        self._steering.add(task)
        task.add_done_callback(self._steering.discard)

    def note(self, method: str) -> None:
        """Note in the log what a person did."""
        self._journal.notify(method, sessionId=self._journal.session_id)

    def announce_options(self) -> None:
        """Tell everybody who watches what the options of the session are now."""
        if self.session is not None and self.session.config:
            update = {"sessionUpdate": "config_option_update", "configOptions": self.session.config}
            self._journal.update(update)

    async def kill(self) -> bool:
        """End the agent as a crash would."""
        if self.session is None:
            return False
        await self.session.end()
        return True

    async def _work(self, journal: RunJournal) -> None:
        self.questions = OpenQuestions(self.id, journal)
        session = await self._set_up(journal)
        turns = PromptTurns(session, journal, self.questions, self._workspace.settings.cancel_seconds)
        turns.add(await self._first())
        self.turns = turns
        gone = asyncio.create_task(session.process.wait())
        try:
            while not self._ending.is_set():
                reason = await turns.next()
                await self._keep_what_was_made()
                if self._ending.is_set():
                    return
                if self._state.get("mode") != "interactive" and not turns.waiting:
                    self._end = self._background_end(reason, journal)
                    return
                if not await self._wait(turns, gone):
                    self._end = ("completed", None)
                    return
        finally:
            gone.cancel()

    async def _wait(self, turns: PromptTurns, gone: asyncio.Task[None]) -> bool:
        """Until there is something to say; false after too long a pause. Raises `RunFailed` when the agent is gone."""
        saying = asyncio.create_task(turns.wait(self._workspace.settings.idle_seconds))
        try:
            await asyncio.wait((saying, gone), return_when=asyncio.FIRST_COMPLETED)
            if saying.done():
                return saying.result()
            assert self.session is not None
            raise RunFailed(await self.session.how_it_ended())
        finally:
            saying.cancel()

    async def _steer(self, turns: PromptTurns, said: Said) -> None:
        # When the agent is gone, the turn says so.
        with contextlib.suppress(RunFailed):
            await turns.steer(said)

    async def _set_up(self, journal: RunJournal) -> RunAgent:
        """Raises `RunFailed` and `GitFailed`."""
        folder = self._folder = await self._make_folder(journal)
        settings, run = self._workspace.settings, self._run
        journal.progress("agent", "Starting the agent", "in_progress")
        command = list(settings.agent_command) or own_agent(
            run["runtime_adapter"], run["model"], run["reasoning_effort"]
        )
        assert self.questions is not None
        try:
            session = self.session = await RunAgent.start(command, folder.path, journal.update, self.questions.ask)
            await session.open(folder.path, [await self._tool_server()])
        except RunFailed as failure:
            journal.progress("agent", "Starting the agent", "failed", str(failure))
            raise
        journal.session_id = session.id
        journal.progress("agent", "Starting the agent", "completed", f"{session.name} {session.version}".strip())
        await self._set_options(session, journal)
        state: JsonObject = {
            "sandbox_alive": True,
            "agent": session.name,
            "agent_session_id": session.id,
            "base_commit": folder.base,
        }
        begun: JsonObject = {"status": "in_progress", "branch": folder.branch or run["branch"], "state": state}
        row = await change(self._workspace, run, begun)
        if row["status"] in TERMINAL:
            self.end(row["status"])
        journal.notify("_posthog/sdk_session", sessionId=session.id, adapter=run["runtime_adapter"] or "claude")
        journal.notify(
            "_posthog/run_started",
            sessionId=session.id,
            runId=self.id,
            taskId=run["task_id"],
            agentVersion=session.version,
        )
        return session

    async def _make_folder(self, journal: RunJournal) -> WorkFolder:
        name = self._task["repository"]
        if not name:
            journal.progress("clone", "Making an empty folder", "completed", "The task names no repository.")
            return await empty_folder(self._workspace, self.id)
        label = f"Cloning {name}"
        journal.progress("clone", label, "in_progress")
        try:
            repository = await find_repository(self._workspace, name)
            resumed = await self._resumed_branch()
            branch = resumed or await self._base()
            folder = await clone(self._workspace, self.id, repository, branch, await self._author())
        except (RunFailed, GitFailed) as failure:
            journal.progress("clone", label, "failed", str(failure))
            raise
        journal.progress("clone", label, "completed", f"{folder.branch} at {folder.base[:8]}")
        if resumed is None:
            journal.progress("branch", "Making a branch", "in_progress")
            branch = await make_branch(folder, self._task["title"], self.id)
            journal.progress("branch", "Making a branch", "completed", branch)
            journal.notify("_posthog/branch_created", branch=branch)
        return folder

    async def _base(self) -> str | None:
        """The branch to begin at. A run that goes on may name one that nobody has pushed."""

        def find(db: sqlite3.Connection) -> str | None:
            first = run_rows.with_ancestors(db, self._run)[0]
            if first["id"] == self.id and not self._state.get(run_rows.RESUMED):
                return self._run["branch"] or None
            base = json.loads(first["state"]).get("pr_base_branch")
            return base if isinstance(base, str) and base else None

        return await self._workspace.db.read(find)

    async def _author(self) -> Author:
        """The person, where pull requests are to be theirs; else nobody in particular."""
        if self._state.get("pr_authorship_mode") != "user":
            return BOT
        query = "SELECT first_name, last_name, email FROM users WHERE id = ?"
        user = self._run["created_by"]
        row = await self._workspace.db.read(lambda db: db.execute(query, (user,)).fetchone())
        return Author(f"{row['first_name']} {row['last_name']}".strip() or row["email"], row["email"])

    async def _resumed_branch(self) -> str | None:
        """The branch of the run that this one resumes, or its own where it is carried on; None when none was pushed."""

        def find(db: sqlite3.Connection) -> str | None:
            for earlier in reversed(run_rows.with_ancestors(db, self._run)):
                branch = (json.loads(earlier["output"]) if earlier["output"] else {}).get("head_branch")
                if isinstance(branch, str):
                    return branch
            return None

        return await self._workspace.db.read(find)

    async def _tool_server(self) -> JsonObject:
        """The workspace's own MCP server, with a token that ends with the run."""
        now, user, project = self._workspace.clock.now(), self._run["created_by"], self._task["project_id"]
        self._grant, token = await self._workspace.db.run(lambda db: credentials.issue(db, user, project, now))
        headers = [
            {"name": "Authorization", "value": f"Bearer {token}"},
            {"name": "x-posthog-project-id", "value": str(project)},
        ]
        return {"type": "http", "name": "posthog", "url": self._workspace.settings.mcp_url, "headers": headers}

    async def _set_options(self, session: RunAgent, journal: RunJournal) -> None:
        """Set what the run was started with; what the agent does not offer is noted and left."""
        mode = self._state.get("initial_permission_mode") or DEFAULT_MODES.get(
            self._run["runtime_adapter"], "bypassPermissions"
        )
        for option, value in (
            ("model", self._run["model"]),
            ("effort", self._run["reasoning_effort"]),
            ("mode", mode),
        ):
            if not isinstance(value, str):
                continue
            try:
                if not session.offers(option, value):
                    raise RpcError(0, "it does not offer that")
                await session.set_option(option, value)
            except RpcError as failure:
                words = f"{session.name} does not use the {option} {value}: {failure.message}"
                journal.notify("_posthog/console", level="warn", message=words)
            except PeerClosed:
                raise RunFailed(await session.how_it_ended()) from None
        self.announce_options()

    async def _first(self) -> Said:
        """The first message."""
        hidden = await self._workspace.db.read(lambda db: prompts.earlier_words(db, self._run))
        files = await self.files(self._state.get("pending_user_artifact_ids"))
        resumed = self._state.get(run_rows.RESUMED) is True
        text = prompts.first_text(self._task, self._state.get("pending_user_message"), resumed=resumed)
        return Said(text, files, hidden)

    async def _keep_what_was_made(self) -> None:
        try:
            await keep_what_was_made(self._workspace, self._run, self._folder)
        except GitFailed as failure:
            self._journal.notify("_posthog/console", level="error", message=str(failure))

    def _background_end(self, reason: str, journal: RunJournal) -> tuple[str, str | None]:
        if reason == FAILED:
            return "failed", f"The agent answered the prompt with an error. {journal.last_message}".strip()
        return ("cancelled", None) if reason == "cancelled" else ("completed", None)

    def _outcome(self, working: asyncio.Task[None]) -> tuple[str, str | None]:
        """How the run has ended: as it was asked, or as its work did."""
        failure = None if working.cancelled() else working.exception()
        if self._end is not None:
            return self._end
        if isinstance(failure, RunFailed | GitFailed):
            return "failed", str(failure)
        if failure is not None:
            log.error("a run failed unexpectedly", exc_info=failure)
            return "failed", f"The workspace failed: {failure}"
        return "completed", None

    async def _finish(self, journal: RunJournal, end: tuple[str, str | None]) -> None:
        """Store what is left, tell the end, and end the agent. Nothing of the run goes on after that."""
        status, error = self._end = end
        try:
            if self.questions is not None:
                self.questions.cancel()
            if error is not None:
                journal.notify("_posthog/error", sessionId=journal.session_id, message=error)
            if self.session is not None:
                with contextlib.suppress(Exception):
                    await self._keep_what_was_made()
            await journal.close()
            await self._withdraw_token()
            said: JsonObject = {} if error is None else {"error_message": error}
            end_state: JsonObject = {"sandbox_alive": False}
            await change(self._workspace, self._run, {"status": status, "state": end_state, **said})
        finally:
            if self.session is not None:
                await self.session.end()
            await self._withdraw_token()
            if self._folder is not None:
                await self._folder.remove()

    async def _withdraw_token(self) -> None:
        grant, self._grant = self._grant, None
        if grant is not None:
            await self._workspace.db.run(lambda db: credentials.withdraw(db, grant))
