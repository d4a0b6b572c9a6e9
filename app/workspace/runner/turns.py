"""The turns of a run: one prompt at a time, messages that wait, and a turn that is stopped."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from app.acp.messages import PeerClosed, RpcError
from app.workspace.runner.prompts import file_blocks, text_block
from app.workspace.runner.work_folder import RunFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.workspace.runner.agent_session import RunAgent
    from app.workspace.runner.journal import JsonObject, RunJournal
    from app.workspace.runner.questions import OpenQuestions

FAILED = "error"


@dataclass
class Said:
    """A message of the person: text, files, and words that only the agent sees."""

    text: str
    files: Sequence[Path] = ()
    hidden: str = ""
    done: asyncio.Future[JsonObject] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """What the command answers once the turn is over."""

    def blocks(self) -> list[JsonObject]:
        hidden = [text_block(self.hidden, hidden=True)] if self.hidden else []
        return [*hidden, *([text_block(self.text)] if self.text else []), *file_blocks(self.files)]


class PromptTurns:
    """The turns of one session. `cancel_seconds`: how long an agent may take to stop."""

    def __init__(self, session: RunAgent, journal: RunJournal, questions: OpenQuestions, cancel_seconds: float) -> None:
        self._session = session
        self._journal = journal
        self._questions = questions
        self._cancel_seconds = cancel_seconds
        self._waiting: list[Said] = []
        self._news = asyncio.Event()
        self._cancelled = asyncio.Event()
        self.running = False

    @property
    def waiting(self) -> bool:
        """Whether there is something to say."""
        return bool(self._waiting)

    def add(self, said: Said) -> None:
        """Say something once the agent is free; what waits together is one prompt."""
        self._waiting.append(said)
        self._news.set()

    async def wait(self, seconds: float) -> bool:
        """Until there is something to say; false when the agent was idle for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def next(self) -> str:
        """Say what waits and return the stop reason, `error` when the agent answers with one. Raises `RunFailed`."""
        batch, self._waiting = self._waiting, []
        self._news.clear()
        self._cancelled.clear()
        blocks = [block for said in batch for block in said.blocks()]
        self.running = True
        result: JsonObject | None = None
        try:
            result = await self._bounded(blocks)
        finally:
            self.running = False
            # What an agent asked in a turn that is over is moot.
            self._questions.cancel()
            for said in batch:
                if result is None:
                    said.done.cancel()
                else:
                    said.done.set_result(result)
        return str(result.get("stopReason", FAILED))

    async def steer(self, said: Said) -> None:
        """Say something during the turn; the agent takes it up in the same turn. Raises `RunFailed`."""
        await self._prompt(said.blocks(), ends_turn=False)

    def cancel(self) -> bool:
        """Have the turn end; false when there is none."""
        if not self.running:
            return False
        self._cancelled.set()
        self._questions.cancel()
        return True

    async def _bounded(self, blocks: list[JsonObject]) -> JsonObject:
        """A turn that ends at most `cancel_seconds` after it was cancelled."""
        prompting = asyncio.create_task(self._prompt(blocks, ends_turn=True))
        cancelling = asyncio.create_task(self._cancelled.wait())
        try:
            await asyncio.wait((prompting, cancelling), return_when=asyncio.FIRST_COMPLETED)
            if not prompting.done():
                await self._session.cancel()
                # What the agent asks from now on is about a turn that is over.
                done, _ = await asyncio.wait((prompting,), timeout=self._cancel_seconds)
                if not done:
                    raise RunFailed(
                        f"{self._session.name} did not stop within {self._cancel_seconds:g} seconds, so it was ended."
                    )
            return prompting.result()
        finally:
            for task in (prompting, cancelling):
                task.cancel()
            await asyncio.wait((prompting, cancelling))

    async def _prompt(self, blocks: list[JsonObject], *, ends_turn: bool) -> JsonObject:
        """Raises `RunFailed` when the agent is gone."""
        number = f"prompt-{uuid4().hex[:12]}"
        session = self._session.id
        params = {"sessionId": session, "prompt": blocks}
        self._journal.entry({"id": number, "method": "session/prompt", "params": params})
        try:
            result = await self._session.prompt(blocks)
        except RpcError as failure:
            if ends_turn:
                self._journal.notify("_posthog/turn_complete", sessionId=session, stopReason=FAILED)
            error = {"code": failure.code, "message": failure.message}
            self._journal.entry({"id": number, "error": error})
            return {"stopReason": FAILED, "message": failure.message}
        except PeerClosed:
            raise RunFailed(await self._session.how_it_ended()) from None
        reason = str(result.get("stopReason") or "end_turn")
        if self._cancelled.is_set():
            # Some agents answer a turn that was stopped with another reason. The person stopped it.
            reason = "cancelled"
        if ends_turn:
            self._journal.notify("_posthog/turn_complete", sessionId=session, stopReason=reason)
        usage = {"usage": result["usage"]} if "usage" in result else {}
        self._journal.entry({"id": number, "result": {"stopReason": reason, **usage}})
        message = self._journal.last_message
        return {"stopReason": reason, **({"assistant_message": message} if message else {})}
