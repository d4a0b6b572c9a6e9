"""LocalRun: a run that an agent of this machine carries out, from its start to its end.

What is typed waits in sight until the agent takes it: while it is set up, during a turn, and when it failed. Nothing is
sent twice: what the agent may have begun is not repeated by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING

import msgspec

from app.acp.messages import AUTH_REQUIRED, INTERNAL_ERROR, PeerClosed, RpcError
from app.core.errors import BurrowError
from app.core.events import Event
from app.core.redaction import mask_credentials
from app.core.runs.agent_environment import agent_environment
from app.core.runs.local.agent_side import AgentSide
from app.core.runs.local.ends import LastTurn
from app.core.runs.local.record import LOG, folder_of
from app.core.runs.local.replay import history_text
from app.core.runs.local.run_log import RunLog
from app.core.runs.local.session import CANCELLED
from app.core.runs.local.status import LocalStatus, RunPhase, WaitingPrompt, together, words_of
from app.core.runs.local.waiting import WaitingPrompts
from app.processes.child import NotStarted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from app.core.runs.local.folder import WorkingFolder
    from app.core.runs.local.record import LocalRecord
    from app.core.runs.local.servers import RunServers
    from app.core.runs.local.session import AcpSession
    from app.core.runs.local.versions import AgentVersions

# How long an agent may take to confirm that it stopped, before it is ended.
STOP_SECONDS = 10.0
HISTORY_CHARACTERS = 100_000
FAILURES = (RpcError, PeerClosed, OSError, BurrowError, NotStarted)


class LocalRun:
    """One run. All methods belong to the loop; whoever made it awaits `close`.

    `log` has the entries, `changed` is emitted with each new `status`, `waiting` are the messages that wait. `prepare`
    sets the working folder up; when it raises, the messages go on waiting. `versions` says which versions of
    the protocol are offered.
    """

    def __init__(
        self,
        data: Path,
        record: LocalRecord,
        folder: WorkingFolder,
        *,
        servers: RunServers | None = None,
        prepare: Callable[[RunLog], Awaitable[None]] | None = None,
        environment: Mapping[str, str] | None = None,
        burrow: str = "",
        versions: AgentVersions | None = None,
    ) -> None:
        self.folder = folder
        self.log = RunLog(folder_of(data, record.id) / LOG)
        self.status = LocalStatus()
        self.changed: Event[LocalStatus] = Event()
        self.waiting = WaitingPrompts()
        self._prepare = prepare
        given = agent_environment() if environment is None else dict(environment)
        self._agent = AgentSide(data, record, folder, self.log, given, servers, versions)
        self._burrow = burrow
        self._prefix = ""
        # Why a turn has no end that is broken off by `close`: Burrow ends, not the person the run.
        self._cut = self._closing = False
        self._opening: asyncio.Task[None] | None = None
        self._turn: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def record(self) -> LocalRecord:
        """What is kept of the run."""
        return self._agent.record

    @property
    def questions(self) -> tuple[str, ...]:
        """The ids of the questions that wait for the person."""
        return self._agent.requests.questions.open

    @property
    def options(self) -> list[object]:
        """The settings of the session, as the agent's JSON says them."""
        return [] if self._agent.session is None else self._agent.session.options

    async def start(self) -> None:
        """Start the agent, with the session that it had, if any. Returns when the run is ready or says why not."""
        if self._opening is not None:
            await asyncio.wait((self._opening,))
        if self.status.phase in {RunPhase.NEW, RunPhase.ENDED, RunPhase.FAILED}:
            await self._open_in_task(anew=False)

    async def start_anew(self) -> None:
        """Open a session that knows nothing, and tell it what is stored of the conversation with the next message."""
        stored = await asyncio.to_thread(lambda: list(self.log.stored()))
        self._prefix = history_text(stored, HISTORY_CHARACTERS)
        await self._end_process()
        await self._open_in_task(anew=True)

    def say(self, text: str, files: tuple[str, ...] = ()) -> WaitingPrompt:
        """Send a message as soon as the agent takes one. Until then it waits, in order, and can be changed."""
        prompt = self.waiting.add(text, files)
        if self.status.held:
            self._set(msgspec.structs.replace(self.status, held=False))
        self._send_waiting()
        return prompt

    @property
    def can_steer(self) -> bool:
        """Whether the agent takes a message into a turn that is under way (version 2 of the protocol)."""
        session = self._agent.session
        return session is not None and session.facts.version > 1 and self.status.phase is RunPhase.WORKING

    async def steer(self, text: str, files: tuple[str, ...] = ()) -> WaitingPrompt | None:
        """Send a message into the turn that is under way. Where that is not possible it waits, and is returned.

        Raises `StorageTrouble` for a file that cannot be handed over.
        """
        session = self._agent.session
        if session is None or not self.can_steer:
            return self.say(text, files)
        handed = await self._agent.hand_over(text, files)
        try:
            await session.steer(handed.blocks)
        except (RpcError, PeerClosed, TimeoutError):
            return self.say(text, files)
        self.log.notify("_posthog/user_message", content=text, steer=True)
        return None

    async def send_now(self, number: int) -> None:
        """Send a message that waits into the turn that is under way. Where that is not possible it goes on waiting.

        It is stored until the log has it. Raises `NotFound` for one that was sent already, and `StorageTrouble` for a
        file that cannot be handed over.
        """
        session = self._agent.session
        if session is None or not self.can_steer:
            return
        prompt, place = self.waiting.take_one_to_send(number)
        try:
            handed = await self._agent.hand_over(prompt.text, prompt.files)
            await session.steer(handed.blocks)
        except (RpcError, PeerClosed, TimeoutError):
            self.waiting.put_back((prompt,), place)
            self._send_waiting()
            return
        except BaseException:
            self.waiting.put_back((prompt,), place)
            raise
        self.log.notify("_posthog/user_message", content=prompt.text, steer=True)
        self.waiting.forget_sent((prompt,))

    def answer(self, question: str, option: str, *, text: str = "", answers: Mapping[str, str] | None = None) -> None:
        """Answer a question of the agent. Raises `NotFound`, `Rejected`."""
        self._agent.requests.questions.answer(question, option, text=text, answers=answers)

    async def stop_turn(self) -> None:
        """Stop the turn that is under way. Returns when it is over, in about ten seconds at most.

        Open questions are answered with `cancelled`. An agent that does not confirm is ended, and the run says so. What
        waits is not sent before the person says something.
        """
        turn = self._turn
        if turn is None or self.status.phase is not RunPhase.WORKING or self._agent.session is None:
            return
        # The turn's first step sends the prompt. What is cancelled before that would begin all the same.
        await asyncio.sleep(0)
        self._set(LocalStatus(phase=RunPhase.STOPPING, held=bool(self.waiting.all)))
        self.log.add({"method": "session/cancel", "params": {"sessionId": self._agent.session.id}})
        self._agent.requests.questions.closed = True
        self._agent.requests.questions.cancel_all()
        with contextlib.suppress(PeerClosed, TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._agent.session.cancel()
                await asyncio.wait((turn,))
        if not turn.done():
            await self._give_up(turn)

    async def idle(self) -> None:
        """Wait until no turn is under way, and none follows at once."""
        while (turn := self._turn) is not None:
            await asyncio.wait((turn,))

    async def set_option(self, option: str, value: str | bool) -> None:
        """Change a setting of the session, also during a turn. Raises `BurrowError` with the agent's words."""
        await self._agent.set_option(option, value)

    async def keep(self, **fields: str | float | bool) -> None:
        """Change what is kept of the run (`LocalRecord`)."""
        await self._agent.keep(**fields)

    def know(self, record: LocalRecord) -> None:
        """Another process changed what is kept of the run."""
        self._agent.know(record)

    async def sign_in(self, method: str) -> None:
        """Have the agent sign in by one of the ways of `status.sign_in`. Raises `BurrowError` with its words."""
        await self._agent.sign_in(method)

    async def close(self, *, cut: bool = False) -> None:
        """End the agent and everything that it started, and store what was said. What waits stays in `waiting`.

        A turn that is under way counts as stopped by the person; with `cut`, as cut off by the end of Burrow.
        """
        self._closing, self._cut = True, cut
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait((self._opening,))
        if self._agent.session is not None and self._agent.process is not None and self._turn is None:
            await self._agent.session.close()
        await self._end_process()
        if self.status.phase is not RunPhase.FAILED:
            self._set(LocalStatus(phase=RunPhase.ENDED, held=self.status.held))
        await self.log.close()
        self._closing = False

    async def _open_in_task(self, *, anew: bool) -> None:
        """Open in a task of the run's own, which `close` cancels; whoever waits for it may go away."""
        self._opening = asyncio.create_task(self._open(anew=anew), name="local run opens")
        await asyncio.wait((self._opening,))
        if not self._opening.cancelled():
            self._opening.result()

    async def _open(self, *, anew: bool) -> None:
        self._set(LocalStatus(phase=RunPhase.STARTING))
        step = {"group": "setup", "step": "agent", "label": f"Start {self._agent.record.agent.name}"}
        try:
            if self._prepare is not None and not anew:
                await self._prepare(self.log)
            self.log.notify("_posthog/progress", **step, status="in_progress")
            await self._agent.start(self._burrow)
            self._watching = asyncio.create_task(self._watch(), name="local run watches")
            forgotten = await self._agent.open(anew=anew)
        except FAILURES as failure:
            self.log.notify("_posthog/progress", **step, status="failed", detail=words_of(failure))
            await self._failed(failure)
            return
        except Exception:
            await self._agent.end()
            self._set(LocalStatus(phase=RunPhase.FAILED, text="The run could not be started.", advice="Try again."))
            raise
        self.log.notify("_posthog/progress", **step, status="completed")
        if forgotten:
            self.log.notify("_posthog/console", level="warn", message=forgotten)
            self._set(
                LocalStatus(
                    phase=RunPhase.FORGOTTEN,
                    text=forgotten,
                    advice="Start anew with this history, or copy what you need from it.",
                )
            )
            return
        await self._agent.announce()
        self._set(LocalStatus(phase=RunPhase.READY))
        self._send_waiting()

    def _send_waiting(self) -> None:
        """Send what waits, as one message, if the agent takes one now."""
        if self.status.phase is not RunPhase.READY or self.status.held or not self.waiting.all:
            return
        session = self._agent.session
        assert session is not None
        # The log goes on when Burrow is started again.
        name = f"prompt-{secrets.token_hex(6)}"
        sent = self.waiting.take_to_send(name)
        self._set(LocalStatus(phase=RunPhase.WORKING))
        self._turn = asyncio.create_task(self._carry_out(session, name, sent), name="local run turn")

    async def _carry_out(self, session: AcpSession, name: str, sent: tuple[WaitingPrompt, ...]) -> None:
        text = together(each.text for each in sent)
        try:
            blocks, shown = await self._agent.hand_over(text, tuple(file for each in sent for file in each.files))
        except BurrowError as failure:
            self._not_sent(sent, failure)
            return
        if self._stopped():
            self._not_sent(sent)
            return
        if self._prefix:
            told = f"This conversation went before; go on from it.\n\n{self._prefix}"
            first = {"type": "text", "text": told, "_meta": {"ui": {"hidden": True}}}
            blocks, shown = (first, *blocks), (first, *shown)
        self._agent.requests.questions.closed = False
        # Before it is stored no more: it is always in the log or among what was not sent.
        self.log.add({"id": name, "method": "session/prompt", "params": {"sessionId": session.id, "prompt": shown}})
        self.waiting.forget_sent(sent)
        heard = self._agent.heard
        try:
            reason = await session.prompt(blocks)
        except RpcError as failure:
            self._turn_failed(name, failure, sent if heard == self._agent.heard else ())
        except PeerClosed:
            # `_watch` says how the agent ended.
            if self.status.phase is RunPhase.STOPPING or self._closing:
                stopped = self.status.phase is RunPhase.STOPPING or not self._cut
                self.log.add(LastTurn(name, stopped=stopped).end())
            else:
                words = "The agent ended in the middle of this turn."
                self.log.add({"id": name, "error": {"code": INTERNAL_ERROR, "message": words}})
            self._agent.requests.questions.cancel_all()
            return
        else:
            self._prefix = ""
            stopped = self.status.phase is RunPhase.STOPPING
            said: dict[str, object] = {"stopReason": CANCELLED if stopped else reason}
            self.log.add({"id": name, "result": said})
            self._set(LocalStatus(phase=RunPhase.READY, held=self.status.held))
        finally:
            self._turn = None
            self._agent.requests.questions.cancel_all()
            self._agent.requests.granted.forget_calls()
        self._send_waiting()

    def _stopped(self) -> bool:
        return self.status.phase is RunPhase.STOPPING

    def _not_sent(self, sent: tuple[WaitingPrompt, ...], failure: BurrowError | None = None) -> None:
        """The agent was told nothing: the messages wait, with what keeps them from being sent."""
        self._turn = None
        self.waiting.put_back(sent)
        text, advice = ("", "") if failure is None else (failure.cause, failure.advice)
        self._set(LocalStatus(phase=RunPhase.READY, text=text, advice=advice, held=True))

    def _turn_failed(self, name: str, failure: RpcError, sent: tuple[WaitingPrompt, ...]) -> None:
        if self.status.phase is RunPhase.STOPPING:
            # Agents answer a cancelled turn with an error as well. The person stopped it, so it is stopped.
            self.log.add({"id": name, "result": {"stopReason": CANCELLED}})
            self._set(LocalStatus(phase=RunPhase.READY, held=self.status.held))
            return
        self.log.add({"id": name, "error": {"code": failure.code, "message": failure.message}})
        # What the agent has begun is not sent again with the next message.
        self.waiting.put_back(sent)
        wants_sign_in = failure.code == AUTH_REQUIRED
        self._set(
            LocalStatus(
                phase=RunPhase.READY,
                text=words_of(failure),
                advice="Sign in to the agent, then send the message again." if wants_sign_in else "Try again.",
                sign_in=self._agent.session.facts.sign_in if wants_sign_in and self._agent.session is not None else (),
                held=True,
            )
        )

    async def _give_up(self, turn: asyncio.Task[None]) -> None:
        """The agent does not confirm that it stopped."""
        text = f"The agent did not stop within {STOP_SECONDS:g} seconds, so Burrow ended it."
        self.log.notify("_posthog/console", level="warn", message=text)
        await self._end_process()
        await asyncio.wait((turn,))
        self._ended(text)

    async def _watch(self) -> None:
        """Say how the agent ended, when nobody ended it."""
        process = self._agent.process
        if process is None:
            return
        await process.wait()
        text = mask_credentials(await process.how_it_ended())
        stderr = tuple(map(mask_credentials, process.stderr_tail))
        if process is not self._agent.process or self.status.phase is RunPhase.STARTING:
            # Somebody ended it, or the opening fails and says so.
            return
        await self._end_process()
        told = f"{text}\n{chr(10).join(stderr)}" if stderr else text
        self.log.notify("_posthog/error", message=told)
        self._ended(text, stderr)

    def _ended(self, text: str, stderr: tuple[str, ...] = ()) -> None:
        advice, held = "Start it again to go on with the conversation.", bool(self.waiting.all)
        self._set(LocalStatus(phase=RunPhase.ENDED, text=text, advice=advice, stderr=stderr, held=held))

    async def _failed(self, failure: BaseException) -> None:
        process = self._agent.process
        text = words_of(failure)
        stderr: tuple[str, ...] = ()
        if process is not None:
            if isinstance(failure, PeerClosed):
                await process.wait()
                text = mask_credentials(await process.how_it_ended())
            stderr = tuple(map(mask_credentials, process.stderr_tail))
        sign_in = isinstance(failure, RpcError) and failure.code == AUTH_REQUIRED
        hints = self._agent.session.facts.sign_in if sign_in and self._agent.session is not None else ()
        await self._end_process()
        advice = failure.advice if isinstance(failure, BurrowError) else "Check the agent, then start it again."
        self._set(
            LocalStatus(
                phase=RunPhase.FAILED,
                text=text,
                advice="Sign in to the agent, then start it again." if sign_in else advice,
                stderr=stderr,
                sign_in=hints,
            )
        )

    def _set(self, status: LocalStatus) -> None:
        if status != self.status:
            self.status = status
            self.changed.emit(status)

    async def _end_process(self) -> None:
        await self._agent.end()
        tasks = {each for each in (self._turn, self._watching) if each is not None} - {asyncio.current_task()}
        self._watching = None
        if tasks:
            await asyncio.wait(tasks)
