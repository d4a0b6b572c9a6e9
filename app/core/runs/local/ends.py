"""What became of a local run whose process is gone: read from its log, which may have no end of its last turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.acp.messages import INTERNAL_ERROR
from app.core.runs.local.session import CANCELLED
from app.core.runs.methods import CUT_OFF as DATA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.core.runs.log_entries import LogEntry

PROMPT, CANCEL = "session/prompt", "session/cancel"
COMPLETED, FAILED = "completed", "failed"
END_TURN, ERROR = "end_turn", "error"
CUT_OFF = "Burrow ended the agent during this turn."


class LastTurn(NamedTuple):
    """`prompt` is its id, empty where there was none. `reason` is why it ended, empty where the log does not say it.

    `stopped`: the person stopped it.
    """

    prompt: str = ""
    reason: str = ""
    stopped: bool = False

    @property
    def open(self) -> bool:
        """Whether the log has no end of it, as after Burrow was killed."""
        return bool(self.prompt) and not self.reason

    @property
    def cut_off(self) -> bool:
        """Whether Burrow ended in the middle of it."""
        return self.open and not self.stopped

    @property
    def status(self) -> str:
        """The status of a run that nobody goes on with after this turn."""
        if not self.reason or self.stopped:
            return CANCELLED
        return status_after(self.reason)

    def end(self) -> Mapping[str, object]:
        """The message that ends it in the log."""
        if self.stopped:
            return {"id": self.prompt, "result": {"stopReason": CANCELLED}}
        return {"id": self.prompt, "error": {"code": INTERNAL_ERROR, "message": CUT_OFF, "data": DATA}}


def status_after(reason: str) -> str:
    """The status of a run that nobody goes on with, by the reason for which its last turn ended."""
    return {END_TURN: COMPLETED, CANCELLED: CANCELLED, DATA["reason"]: CANCELLED, "": CANCELLED}.get(reason, FAILED)


def last_turn(stored: Iterable[LogEntry]) -> LastTurn:
    """The last turn that the log has. It reads all entries, so call it in a thread."""
    found = LastTurn()
    for entry in stored:
        message = entry.message
        if message.method == PROMPT:
            found = LastTurn(message.id)
        elif message.method == CANCEL:
            found = found._replace(stopped=found.stopped or found.open)
        elif not message.method and message.id == found.prompt and found.open:
            found = found._replace(reason=ERROR if message.error else _reason(message.result))
    return found


class _Result(msgspec.Struct, rename="camel"):
    stop_reason: str = END_TURN


def _reason(result: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(result, type=_Result).stop_reason or END_TURN
    except msgspec.MsgspecError:
        return END_TURN
