"""AgentControl: stopping a turn, closing a session, answering what an agent asks, and changing its settings."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from app.core.errors import BurrowError, Offline, OutcomeUnknown
from app.core.events import Event
from app.core.posthog.run_errors import CommandRefused, RunOver
from app.core.runs.answers import ALLOW_ALWAYS, answered_questions, chosen_option, dismissed, trusting_mode
from app.core.runs.follow_status import LIVE
from app.core.runs.items import Permission, ToolCall
from app.core.runs.log_entries import entry
from app.core.runs.reducer import CANCELLED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from app.core.clock import Clock
    from app.core.posthog.runs import Runs
    from app.core.runs.answers import PermissionAnswer, QuestionAnswer
    from app.core.runs.follower import RunFollower

# How long an agent may take to end a turn that was stopped.
STOP_SECONDS = 10.0
# How long a server may take to say that the agent was told of a stop. It was told then, as far as anybody knows.
TELL_SECONDS = 10.0
NO_END = (
    f"The agent has not ended its turn within {STOP_SECONDS:.0f} seconds after it was stopped. "
    "It may still be working; what it says from now on is marked as late."
)


NO_NEWS = (
    "The agent was to stop, and then the server could not be reached: whether it has is not known. "
    "The run says so when there is a connection again."
)
# What helps when the agent was not told, and when it may have been.
AWAY = "when the server can be reached."
NOT_STOPPED = f"The agent was not told. Stop it again {AWAY}"
NOT_ENDED = f"The run goes on. End it again {AWAY}"
PERHAPS_ENDED = "The run says soon whether it has ended. If it goes on, end it again."
NOT_ANSWERED = f"The question stays. Answer it again {AWAY}"
PERHAPS_ANSWERED = "If the question stays, answer it again."
NOT_CHANGED = f"Nothing was changed. Choose it again {AWAY}"
PERHAPS_CHANGED = "Look whether it was changed before you choose it again."


class _Settings(msgspec.Struct, rename="camel"):
    config_options: msgspec.Raw = msgspec.Raw()


class AgentControl:
    """What a person tells an agent beside messages. Everything raises `BurrowError` when the agent was not told."""

    def __init__(
        self,
        follower: RunFollower,
        runs: Runs,
        *,
        clock: Clock,
        approve_tool: Callable[[str, str], Awaitable[None]] | None = None,
    ) -> None:
        """`approve_tool(server, tool)` allows a tool of MCP for good, where that is known to the host."""
        self.follower = follower
        self.stopping = False
        self.stopping_changed: Event[bool] = Event()
        self._runs = runs
        self._clock = clock
        self._approve_tool = approve_tool

    async def stop_turn(self) -> None:
        """Stop the turn under way. It counts as cancelled, whatever the agent says of its end.

        Questions that are open are answered as cancelled. Returns when the turn has ended; after ten seconds it is
        ended here, and a notice in the transcript says so.
        """
        transcript = self.follower.transcript
        asked = [transcript.index_of(key) for key in transcript.state.waiting]
        questions = [transcript.item(index) for index in asked if index is not None]
        self._set_stopping(True)
        try:
            turn = await self._cancel()
            if not turn:
                return
            # Most agents have forgotten their questions with the turn. Whatever becomes of them, it is stopped.
            told = (self._tell_dismissed(each) for each in questions if isinstance(each, Permission))
            await asyncio.gather(*told)
            await self._wait_for_end(turn)
        finally:
            self._set_stopping(False)

    def end_stopped(self) -> None:
        """The log was read, perhaps after a restart: a turn that was stopped and has no end in it gets one in time."""
        transcript, at = self.follower.transcript, self.follower.transcript.stopped_at
        if at is None or self.stopping:
            return
        turn = transcript.turn.turn

        def look() -> None:
            if transcript.stopped_at == at and transcript.turn.turn == turn and not self.stopping:
                transcript.give_up_turn(NO_END)

        left = min(max(0.0, at + STOP_SECONDS - time.time()), STOP_SECONDS)
        asyncio.get_running_loop().call_later(left, look)

    async def close(self) -> None:
        """End the session: the run completes."""
        with suppress(RunOver), _advising(NOT_ENDED, PERHAPS_ENDED):
            await self._command("close", {})
        self.follower.nudge()

    async def answer(
        self,
        permission: Permission,
        option_id: str = "",
        text: str = "",
        answers: Sequence[QuestionAnswer] = (),
    ) -> None:
        """Answer what the agent asks: with an option and a text beside it, or with `answers` to its questions.

        "Always" also raises the mode of the session, and allows a tool of MCP for good. Raises `Rejected` for an answer
        that was not offered or is incomplete, and `CommandRefused` when the agent does not wait for it any more.
        """
        given = answered_questions(permission, answers) if permission.questions else None
        if given is None or (option_id and not answers):
            given = chosen_option(permission, option_id, text)
        try:
            with _advising(NOT_ANSWERED, PERHAPS_ANSWERED):
                await self._respond(permission, given)
        except RunOver:
            # The question goes with the run, as soon as that is known here.
            self.follower.nudge()
            raise
        self.follower.transcript.answer(permission.key, given.option_id)
        if given.separate:
            await self._say_besides(given.separate)
        await self._trust(permission, given.option_id)

    async def dismiss(self, permission: Permission) -> None:
        """Answer nothing: the agent is refused, and its turn stopped."""
        # An agent that does not wait for it any more is stopped all the same.
        with suppress(CommandRefused, RunOver), _advising(NOT_ANSWERED, PERHAPS_ANSWERED):
            await self._respond(permission, dismissed(permission))
        self.follower.transcript.answer(permission.key, CANCELLED)
        await self.stop_turn()

    async def set_option(self, id: str, value: str) -> None:  # noqa: A002
        """Change a setting of the session, such as `mode` or `model`."""
        with _advising(NOT_CHANGED, PERHAPS_CHANGED):
            result = await self._command("set_config_option", {"configId": id, "value": value})
        with suppress(msgspec.MsgspecError):
            options = msgspec.json.decode(result, type=_Settings).config_options
            if options:
                changed = {"sessionUpdate": "config_option_update", "configOptions": options}
                self.follower.transcript.apply([entry("session/update", {"update": changed})])

    async def _cancel(self) -> str:
        """Tell the agent to stop; returns the name of the turn. It is stored before: Burrow may end meanwhile.

        Empty where the run has ended already.
        """
        transcript, stops = self.follower.transcript, self.follower.stops
        stop = transcript.turn
        if stops is not None:
            await stops.keep(stop)
        try:
            # The user has stopped it, whatever the agent answers. What it does is seen in the log.
            with suppress(CommandRefused, OutcomeUnknown), _advising(NOT_STOPPED):
                await self._tell("cancel", {})
        except BurrowError as failure:
            if stops is not None:
                await stops.forget(stop.turn)
            if isinstance(failure, RunOver):
                # There is nothing left to stop.
                self.follower.nudge()
                return ""
            raise
        exact = transcript.turn
        stopped = transcript.stop_turn()
        if stops is not None and (not stopped or exact.turn != stop.turn):
            # It had ended by itself.
            await stops.forget(stop.turn)
        if stops is not None and stopped:
            await stops.keep(exact)
        return exact.turn

    async def _say_besides(self, text: str) -> None:
        """Send a text that an answer cannot carry."""
        raise NotImplementedError

    async def _trust(self, permission: Permission, option_id: str) -> None:
        """What "always" means besides."""
        state = self.follower.transcript.state
        setting, value = trusting_mode(permission, option_id, self.follower.run, state)
        if setting:
            await self.set_option(setting, value)
        option = next((each for each in permission.options if each.option_id == option_id), None)
        if self._approve_tool is None or option is None or ALLOW_ALWAYS not in {option.kind, option.option_id}:
            return
        index = self.follower.transcript.index_of(f"call:{permission.call_id}")
        call = None if index is None else self.follower.transcript.item(index)
        if isinstance(call, ToolCall) and call.server and call.tool:
            await self._approve_tool(call.server, call.tool)

    async def _respond(self, permission: Permission, answer: PermissionAnswer) -> None:
        # It may be answered twice: the second time the agent does not know it any more.
        await self._command("permission_response", answer.params(permission.request_id))

    async def _command(self, method: str, params: object) -> msgspec.Raw:
        return await self._runs.command(self.follower.task, self.follower.run_id, method, params)

    async def _tell(self, method: str, params: object) -> None:
        """As `_command`, for what is not waited for longer than a person waits for a stop."""
        try:
            async with asyncio.timeout(TELL_SECONDS):
                await self._command(method, params)
        except TimeoutError:
            raise OutcomeUnknown("The server does not say whether the agent was told.") from None

    async def _tell_dismissed(self, question: Permission) -> None:
        with suppress(BurrowError):
            await self._tell("permission_response", dismissed(question).params(question.request_id))

    async def _wait_for_end(self, turn: str) -> None:
        """Wait until a turn is over, for a bounded time. The next one may follow at once."""
        transcript = self.follower.transcript
        ended = asyncio.Event()

        def goes_on() -> bool:
            return transcript.state.busy and transcript.turn.turn == turn

        unsubscribe = transcript.changed.subscribe(lambda _: None if goes_on() else ended.set())
        patience = asyncio.create_task(self._clock.sleep(STOP_SECONDS))
        waiting = asyncio.create_task(_set(ended))
        try:
            if goes_on():
                await asyncio.wait((waiting, patience), return_when=asyncio.FIRST_COMPLETED)
            if goes_on():
                transcript.give_up_turn(NO_END if self.follower.now.kind == LIVE else NO_NEWS)
        finally:
            unsubscribe()
            for task in (waiting, patience):
                task.cancel()
            await asyncio.gather(waiting, patience, return_exceptions=True)

    def _set_stopping(self, stopping: bool) -> None:
        self.stopping = stopping
        self.stopping_changed.emit(stopping)


@contextmanager
def _advising(away: str, perhaps: str = "") -> Iterator[None]:
    """Have errors say what helps here: Burrow tells an agent nothing again by itself but messages."""
    try:
        yield
    except Offline as failure:
        failure.advice = away
        raise
    except OutcomeUnknown as failure:
        failure.advice = perhaps or failure.advice
        raise


async def _set(event: asyncio.Event) -> None:
    await event.wait()
