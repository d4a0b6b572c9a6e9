"""SessionOpening: how the session of a run is opened: new, or the one that the run had, and what that means.

https://agentclientprotocol.com/protocol/session-setup
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from app.acp.messages import RpcError
from app.core.runs.local.ends import last_turn
from app.core.runs.local.replay import Replay, has_prompts
from app.core.runs.local.status import words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.runs.local.run_log import RunLog
    from app.core.runs.local.session import AcpSession

UNKNOWN = "The agent does not know this session any more"
UNABLE = "The agent cannot go on with an earlier session."
SILENT = "The agent opened the session and repeated nothing of it. It may not remember what was said."


class SessionOpening:
    """Opens sessions. While `replay` is there, what the agent says is a repetition and belongs to it."""

    def __init__(self, log: RunLog) -> None:
        self.replay: Replay | None = None
        self._log = log

    async def open(self, session: AcpSession, former: str, servers: Sequence[object]) -> str:
        """Open the session with the id `former`, or a new one where nothing was said in it.

        Returns why the agent does not know what was said before, in words, or nothing. Raises as `AcpSession.new`.
        """
        stored = await asyncio.to_thread(lambda: list(self._log.stored()))
        if (turn := last_turn(stored)).open:
            self._log.add(turn.end())
        if not former or not has_prompts(stored):
            await session.new(servers)
            return ""
        facts = session.facts
        failure: Exception | None = None
        if facts.resumes and facts.version == 1:
            try:
                await session.resume(former, servers)
            except (RpcError, TimeoutError) as refused:
                failure = refused
            else:
                return ""
        if not facts.loads:
            return UNABLE if failure is None else f"{UNKNOWN}: {words_of(failure)}"
        self.replay = replay = Replay()
        try:
            await session.load(former, servers)
            await replay.settled(stored)
        except (RpcError, TimeoutError) as refused:
            return f"{UNKNOWN}: {words_of(refused)}"
        finally:
            self.replay = None
        if replay.empty:
            self._log.notify("_posthog/console", level="warn", message=SILENT)
        for message in replay.missing(stored):
            self._log.add(message)
        return ""
