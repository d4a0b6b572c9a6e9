"""What became of a local run whose process is gone: read from its log, which may have no end of its last turn."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from app.acp.messages import INTERNAL_ERROR
from app.core.runs.local.record import LOG, folder_of, save_record
from app.core.runs.local.run_log import RunLog
from app.core.runs.local.session import CANCELLED
from app.core.runs.methods import CUT_OFF as DATA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from app.core.runs.local.claim import RunClaim
    from app.core.runs.local.record import LocalRecord
    from app.core.runs.log_entries import LogEntry

log = logging.getLogger(__name__)

PROMPT, CANCEL = "session/prompt", "session/cancel"
COMPLETED, FAILED = "completed", "failed"
END_TURN, ERROR = "end_turn", "error"
CUT_OFF_TURN = DATA["reason"]
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
    return {END_TURN: COMPLETED, CANCELLED: CANCELLED, CUT_OFF_TURN: CANCELLED, "": CANCELLED}.get(reason, FAILED)


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


async def left(data: Path, record: LocalRecord, claim: RunClaim) -> LocalRecord:
    """The record of a run, with what became of it if its process died: then nobody has the claim.

    It is stored, and the log gets the end of its last turn. Raises nothing.
    """
    if record.ended or record.left or not await claim.take():
        return record
    run_log = RunLog(folder_of(data, record.id) / LOG)
    try:
        turn = await asyncio.to_thread(lambda: last_turn(run_log.stored()))
        if turn.open:
            run_log.add(turn.end())
            await run_log.close()
        record = msgspec.structs.replace(record, left=turn.status, cut=turn.cut_off)
        await asyncio.to_thread(save_record, data, record)
    except OSError as failure:
        log.warning("what became of a run cannot be read or stored: %s", failure)
    finally:
        await claim.give_up()
    return record


class _Result(msgspec.Struct, rename="camel"):
    stop_reason: str = END_TURN


def _reason(result: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(result, type=_Result).stop_reason or END_TURN
    except msgspec.MsgspecError:
        return END_TURN
