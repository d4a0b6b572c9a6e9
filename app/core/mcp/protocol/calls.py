"""RunningCall: one running call, with its progress, result and cancellation."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from app.core.background import retrieve
from app.core.errors import BurrowError, Facts, TimedOut
from app.core.events import Event
from app.core.mcp.results.blocks import Progress
from app.core.mcp.results.parsing import call_result
from app.core.preferences import preferences

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.mcp.results.blocks import CallResult

LONGEST_SECONDS = 30 * 60.0
# Results with more base64 than this are decoded in a worker thread.
OFF_LOOP_BYTES = 256 * 1024


class ProgressReport(Protocol):
    """Is called with the progress of a call."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None: ...


class CallReport(ProgressReport, Protocol):
    """What a running call reports: its progress, and the message with its result, as it was received."""

    def received(self, message: bytes) -> None: ...


class CallCancelled(BurrowError):
    """The user cancelled a call. What the server had begun may have taken effect."""

    title = "Cancelled"
    action = "Run it again when you like; what had begun may have taken effect."


class RunningCall:
    """A running call, in a task of its own. It goes on until it ends or is cancelled, whether or not anybody waits.

    `progress` emits on the loop. `silence` and `longest` are in seconds; `silence` is by
    default what the user chose (`preferences.SILENCE`).
    """

    def __init__(
        self,
        run: Callable[[CallReport], Awaitable[dict[str, Any]]],
        *,
        silence: float | None = None,
        longest: float = LONGEST_SECONDS,
    ) -> None:
        self.progress: Event[Progress] = Event()
        self.started = monotonic()
        # When the last sign of life came.
        self._heard = self.started
        self._silence = preferences().silence_seconds if silence is None else silence
        self._longest = longest
        self._task = asyncio.create_task(self._drive(run), name="mcp call")
        self._task.add_done_callback(retrieve)

    @property
    def done(self) -> bool:
        """Whether `result` returns or raises at once."""
        return self._task.done()

    @property
    def task(self) -> asyncio.Task[CallResult]:
        """The task that runs the call, so that closing the servers can wait for it."""
        return self._task

    async def result(self) -> CallResult:
        """Wait for the result. Cancelling this coroutine cancels the call.

        Raises `TimedOut` with `facts.code` "silence" after `silence` without a sign of life: the call still runs, and
        calling this again goes on waiting. With code "longest" after 30 minutes: the call is cancelled then. Raises
        `CallCancelled` after `cancel`, and other `BurrowError`s when the call fails.
        """
        # Waiting again grants the server another full period of silence.
        waiting_since = monotonic()
        try:
            while True:
                now = monotonic()
                quiet = max(self._heard, waiting_since) + self._silence - now
                left = self.started + self._longest - now
                if (await asyncio.wait({self._task}, timeout=max(0.0, min(quiet, left))))[0]:
                    break
                now = monotonic()
                if now >= self.started + self._longest:
                    self.cancel()
                    cause = f"The call took longer than {self._longest / 60:.0f} minutes and was cancelled."
                    raise TimedOut(cause, Facts(code="longest"), action="Ask for less at once.")
                if now >= max(self._heard, waiting_since) + self._silence:
                    cause = f"No answer for {self._silence:.0f} s."
                    raise TimedOut(cause, Facts(code="silence"), action="Keep waiting, or cancel.")
        except asyncio.CancelledError:
            self.cancel()
            raise
        if self._task.cancelled():
            raise CallCancelled("The call was cancelled.")
        return self._task.result()

    def cancel(self) -> None:
        """Cancel the call, here and at the server. Safe to call at any time."""
        self._task.cancel()

    async def _drive(self, run: Callable[[CallReport], Awaitable[dict[str, Any]]]) -> CallResult:
        report = _Report(self._progressed)
        raw = await run(report)
        seconds = monotonic() - self.started
        if _base64_characters(raw) > OFF_LOOP_BYTES:
            return await asyncio.to_thread(call_result, raw, seconds, report.message)
        return call_result(raw, seconds, report.message)

    def _progressed(self, progress: Progress) -> None:
        self._heard = monotonic()
        self.progress.emit(progress)


class _Report:
    """The `CallReport` of one call."""

    def __init__(self, progressed: Callable[[Progress], None]) -> None:
        self._progressed = progressed
        self.message = b""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self._progressed(Progress(progress, total, message))

    def received(self, message: bytes) -> None:
        self.message = message


def _base64_characters(raw: dict[str, Any]) -> int:
    """How many characters of base64 a result has."""
    content = raw.get("content")
    characters = 0
    for block in content if isinstance(content, list) else ():
        match block:
            case {"data": str(data)} | {"resource": {"blob": str(data)}}:
                characters += len(data)
    return characters
