"""ToolCall: one running call that can be watched, waited for and cancelled."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from app.core.background import retrieve
from app.core.errors import BurrowError, Facts, TimedOut
from app.core.events import Event
from app.core.mcp.results.blocks import Progress
from app.core.mcp.results.parsing import call_result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.mcp.results.blocks import CallResult

SILENCE_SECONDS = 60.0
LONGEST_SECONDS = 30 * 60.0
OFF_LOOP_BYTES = 256 * 1024


class ProgressReport(Protocol):
    """Hears how far a call got."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None: ...


class CallCancelled(BurrowError):
    """The person cancelled a call; what the server had begun may have taken effect."""

    title = "Cancelled"
    action = "Run it again when you like; what had begun may have taken effect."


class ToolCall:
    """A call under way. `progress` is told on the loop; the call goes on until it ends or `cancel` is called."""

    def __init__(
        self,
        run: Callable[[ProgressReport], Awaitable[dict[str, Any]]],
        *,
        silence: float = SILENCE_SECONDS,
        longest: float = LONGEST_SECONDS,
    ) -> None:
        self.progress: Event[Progress] = Event()
        self.started = monotonic()
        self._heard = self.started
        self._silence = silence
        self._longest = longest
        self._task = asyncio.create_task(self._drive(run), name="mcp call")
        self._task.add_done_callback(retrieve)

    @property
    def done(self) -> bool:
        """Whether `result` answers at once."""
        return self._task.done()

    @property
    def task(self) -> asyncio.Task[CallResult]:
        """The task that runs the call, for whoever closes the servers."""
        return self._task

    async def result(self) -> CallResult:
        """Wait for the answer.

        Raises `TimedOut` with `facts.code` "silence" when nothing was heard for 60 s: the call still runs, and waiting
        again keeps waiting. With code "longest" after 30 minutes: the call was cancelled. `CallCancelled` after
        `cancel`. Any other error of the family ends the call. Cancelling this coroutine cancels the call.
        """
        patient_from = monotonic()
        try:
            while True:
                now = monotonic()
                quiet = max(self._heard, patient_from) + self._silence - now
                left = self.started + self._longest - now
                if (await asyncio.wait({self._task}, timeout=max(0.0, min(quiet, left))))[0]:
                    break
                now = monotonic()
                if now >= self.started + self._longest:
                    self.cancel()
                    words = f"The call took longer than {self._longest / 60:.0f} minutes and was cancelled."
                    raise TimedOut(words, Facts(code="longest"), action="Ask for less at once.")
                if now >= max(self._heard, patient_from) + self._silence:
                    words = f"No answer for {self._silence:.0f} s."
                    raise TimedOut(words, Facts(code="silence"), action="Keep waiting, or cancel.")
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self._task.cancelled():
            raise CallCancelled("The call was cancelled.")
        return self._task.result()

    def cancel(self) -> None:
        """Stop waiting and tell the server; safe to call at any time."""
        self._task.cancel()

    async def _drive(self, run: Callable[[ProgressReport], Awaitable[dict[str, Any]]]) -> CallResult:
        raw = await run(self._report)
        seconds = monotonic() - self.started
        if _weight(raw) > OFF_LOOP_BYTES:
            return await asyncio.to_thread(call_result, raw, seconds)
        return call_result(raw, seconds)

    async def _report(self, progress: float, total: float | None, message: str | None) -> None:
        self._heard = monotonic()
        self.progress.emit(Progress(progress, total, message))


def _weight(raw: dict[str, Any]) -> int:
    """How many characters of base64 there are to decode."""
    content = raw.get("content")
    weight = 0
    for block in content if isinstance(content, list) else ():
        match block:
            case {"data": str(data)} | {"resource": {"blob": str(data)}}:
                weight += len(data)
    return weight
