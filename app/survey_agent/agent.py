"""The agent's side of the protocol: which request does what, in both revisions."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from app import __version__
from app.acp.messages import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, RpcError
from app.survey_agent.mcp import servers_in
from app.survey_agent.options import SessionOptions, UnknownOption
from app.survey_agent.session import kept_ids, kept_session, new_session
from app.survey_agent.turn import END, Turn
from app.survey_agent.voice import Voice
from app.survey_agent.words import is_hidden, prompt_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.acp.peer import Peer
    from app.survey_agent.session import SurveySession

LATEST = 2
META = {"burrow": {"steering": True}}
"""A prompt during a turn is taken up in that turn. The protocol itself has no word for it."""
INFO = {"name": "survey-agent", "title": "Survey agent", "version": __version__}


class SurveyAgent:
    """Answers a client. `peer` is set once the connection is there."""

    def __init__(self, options: SessionOptions) -> None:
        self.peer: Peer | None = None
        self._first_options = options
        self._version = 1
        self._writes_for_client = False
        self._sessions: dict[str, SurveySession] = {}
        self._stubborn: set[str] = set()
        self._methods: dict[str, Callable[[dict[str, object]], Awaitable[dict[str, object] | None]]] = {
            "initialize": self._initialize,
            "authenticate": _nothing,
            "auth/login": _nothing,
            "auth/logout": _nothing,
            "session/new": self._new,
            "session/load": self._load,
            "session/resume": self._resume,
            "session/list": self._list,
            "session/close": self._close,
            "session/prompt": self._prompt,
            "session/set_mode": self._set_mode,
            "session/set_config_option": self._set_option,
        }

    def request(self, method: str, params: dict[str, object], _id: object) -> Awaitable[dict[str, object] | None]:
        """Handler for `Peer`. Raises `RpcError`."""
        found = self._methods.get(method)
        if found is None:
            raise RpcError(METHOD_NOT_FOUND, f"There is no method {method}.")
        return found(params)

    def notification(self, method: str, params: dict[str, object]) -> None:
        """Handler for `Peer`."""
        if method == "session/cancel":
            session = self._sessions.get(str(params.get("sessionId")))
            if session is not None and session.work is not None and session.id not in self._stubborn:
                session.work.cancel()

    async def _initialize(self, params: dict[str, object]) -> dict[str, object]:
        asked = params.get("protocolVersion")
        self._version = LATEST if isinstance(asked, int) and asked >= LATEST else 1
        if self._version == LATEST:
            session: dict[str, object] = {"prompt": {"embeddedContext": {}}, "mcp": {"http": {}, "stdio": {}}}
            return {
                "protocolVersion": LATEST,
                "info": INFO,
                "authMethods": [],
                "capabilities": {"session": session, "_meta": META},
            }
        capabilities = params.get("clientCapabilities")
        files = capabilities.get("fs") if isinstance(capabilities, dict) else None
        self._writes_for_client = isinstance(files, dict) and files.get("writeTextFile") is True
        return {
            "protocolVersion": 1,
            "agentInfo": INFO,
            "authMethods": [],
            "agentCapabilities": {
                "loadSession": True,
                "promptCapabilities": {"embeddedContext": True, "image": False, "audio": False},
                "mcpCapabilities": {"http": True, "sse": False},
                "sessionCapabilities": {"list": {}, "resume": {}, "close": {}},
                "_meta": META,
            },
        }

    async def _new(self, params: dict[str, object]) -> dict[str, object]:
        session = await new_session(_folder(params), self._first_options, servers_in(params.get("mcpServers")))
        self._sessions[session.id] = session
        return {"sessionId": session.id, **self._shown(session)}

    async def _load(self, params: dict[str, object]) -> dict[str, object]:
        return await self._restored(params, replayed=True)

    async def _resume(self, params: dict[str, object]) -> dict[str, object]:
        return await self._restored(params, replayed=isinstance(params.get("replayFrom"), dict))

    async def _restored(self, params: dict[str, object], *, replayed: bool) -> dict[str, object]:
        session_id = str(params.get("sessionId"))
        servers = servers_in(params.get("mcpServers"))
        session = self._sessions.get(session_id) or await kept_session(session_id, _folder(params), servers)
        if session is None:
            raise RpcError(INVALID_PARAMS, f"There is no session {session_id} in this folder.")
        session.servers = servers
        self._sessions[session_id] = session
        if replayed:
            await self._voice(session).replay()
        return self._shown(session)

    async def _list(self, params: dict[str, object]) -> dict[str, object]:
        folder = params.get("cwd")
        ids = await kept_ids(Path(folder)) if isinstance(folder, str) and os.path.isabs(folder) else []
        shown = [{"sessionId": each, "cwd": folder} for each in ids]
        known = [{"sessionId": each.id, "cwd": str(each.folder)} for each in self._sessions.values()]
        return {"sessions": [*shown, *(each for each in known if each["sessionId"] not in ids)]}

    async def _close(self, params: dict[str, object]) -> dict[str, object]:
        session = self._session(params)
        if session.turn is not None:
            session.turn.cancel()
            await asyncio.wait((session.turn,))
        del self._sessions[session.id]
        return {}

    def _prompt(self, params: dict[str, object]) -> Awaitable[dict[str, object]]:
        """Begin a turn before anything that was sent later is read, so that it can be cancelled at once."""
        session = self._session(params)
        text = prompt_text(params.get("prompt"))
        voice = self._voice(session)
        if session.running:
            return self._take_up(session, text, voice)
        blocks = params.get("prompt")
        continues = any(is_hidden(block) for block in blocks) if isinstance(blocks, list) else False
        turn = Turn(session, text, voice, continues=continues)
        if turn.stubborn:
            self._stubborn.add(session.id)
        session.work = asyncio.create_task(self._work(text, turn, voice), name=f"work of {session.id}")
        session.turn = asyncio.create_task(self._run(session, session.work, turn, voice), name=f"turn of {session.id}")
        return _nothing(params) if self._version >= LATEST else self._answer(session.turn, voice)

    async def _take_up(self, session: SurveySession, text: str, voice: Voice) -> dict[str, object]:
        """A prompt during a turn, which takes it up at its next step."""
        session.steering.append(text)
        await voice.repeat_prompt(text)
        assert session.turn is not None
        if self._version < LATEST:
            await asyncio.wait((session.turn,))
        return {} if self._version >= LATEST else {"stopReason": END}

    async def _answer(self, turn: asyncio.Task[str], voice: Voice) -> dict[str, object]:
        try:
            reason = await asyncio.shield(turn)
        except asyncio.CancelledError:
            # Only this request was given up, not the process.
            turn.cancel()
            raise
        return {"stopReason": reason, "usage": await voice.usage()}

    async def _work(self, text: str, turn: Turn, voice: Voice) -> str:
        """What a turn consists of but for its end, which is not stopped any more."""
        await voice.repeat_prompt(text)
        await voice.state("running")
        return await turn.run()

    async def _run(self, session: SurveySession, work: asyncio.Task[str], turn: Turn, voice: Voice) -> str:
        """The turn and what belongs to its end. Returns the stop reason, also when it was cancelled."""
        reason = turn.reason_when_stopped
        try:
            reason = await work
        except asyncio.CancelledError:
            session.steering.clear()
        except OSError as failure:
            raise RpcError(INTERNAL_ERROR, str(failure)) from failure
        except RpcError as failure:
            if self._version < LATEST:
                raise
            await voice.say(failure.message)
            reason = END
        finally:
            await asyncio.to_thread(session.save)
        if self._version >= LATEST:
            await voice.usage()
        await voice.state("idle", reason)
        return reason

    async def _set_mode(self, params: dict[str, object]) -> dict[str, object]:
        session = self._session(params)
        self._change(session, "mode", str(params.get("modeId")))
        await self._voice(session).options_changed()
        return {}

    async def _set_option(self, params: dict[str, object]) -> dict[str, object]:
        session = self._session(params)
        option = str(params.get("configId"))
        self._change(session, option, str(params.get("value")))
        if option == "mode" and self._version < LATEST:
            await self._voice(session).options_changed()
        return {"configOptions": session.options.as_config(self._version)}

    def _change(self, session: SurveySession, option: str, value: str) -> None:
        try:
            session.options = session.options.with_value(option, value)
        except UnknownOption as failure:
            raise RpcError(INVALID_PARAMS, str(failure)) from None

    def _session(self, params: dict[str, object]) -> SurveySession:
        session = self._sessions.get(str(params.get("sessionId")))
        if session is None:
            raise RpcError(INVALID_PARAMS, f"There is no session {params.get('sessionId')}.")
        return session

    def _shown(self, session: SurveySession) -> dict[str, object]:
        config: dict[str, object] = {"configOptions": session.options.as_config(self._version)}
        return config if self._version >= LATEST else {"modes": session.options.as_modes(), **config}

    def _voice(self, session: SurveySession) -> Voice:
        assert self.peer is not None
        return Voice(self.peer, session, self._version, writes_for_client=self._writes_for_client)


async def _nothing(_params: dict[str, object]) -> dict[str, object]:
    return {}


def _folder(params: dict[str, object]) -> Path:
    folder = params.get("cwd")
    if not isinstance(folder, str) or not os.path.isabs(folder) or not os.path.isdir(folder):
        raise RpcError(INVALID_PARAMS, f"The folder {folder!r} does not exist, or it is no absolute path.")
    return Path(folder)
