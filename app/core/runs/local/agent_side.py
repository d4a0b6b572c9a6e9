"""AgentSide: the agent of a run with all that belongs to it: process, session, servers, and what it asks.

It is started and ended as often as the run wants; `LocalRun` decides when.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from app.acp.messages import METHOD_NOT_FOUND, PeerClosed, RpcError
from app.acp.process import AgentProcess
from app.core.errors import BurrowError, Facts, ProtocolTrouble, ServerTrouble
from app.core.runs.local.embedded import EmbeddedTerminals
from app.core.runs.local.facts import MISSING_AS_EMPTY, mode_of, with_value
from app.core.runs.local.handed import hand_over
from app.core.runs.local.mode_names import option_of_mode
from app.core.runs.local.opening import SessionOpening
from app.core.runs.local.record import FILES, folder_of, save_record
from app.core.runs.local.requests import AgentRequests
from app.core.runs.local.run_log import UPDATE
from app.core.runs.local.session import AcpSession
from app.core.runs.local.status import words_of
from app.core.runs.local.versions import DRAFT, FIRST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from app.core.runs.local.folder import WorkingFolder
    from app.core.runs.local.handed import Handed
    from app.core.runs.local.record import LocalRecord
    from app.core.runs.local.run_log import RunLog
    from app.core.runs.local.servers import RunServers
    from app.core.runs.local.versions import AgentVersions

log = logging.getLogger(__name__)

NO_SERVERS = "The agent takes no MCP servers over HTTP, so it gets none of Burrow's."


class AgentSide:
    """`process` and `session` are there while the agent runs. `record` is what is kept of the run, as it is stored."""

    def __init__(
        self,
        data: Path,
        record: LocalRecord,
        folder: WorkingFolder,
        run_log: RunLog,
        environment: Mapping[str, str],
        servers: RunServers | None,
        versions: AgentVersions | None = None,
    ) -> None:
        """Without `versions`, version 1 of the protocol is spoken."""
        self.record = record
        self.process: AgentProcess | None = None
        self.session: AcpSession | None = None
        self._files = folder_of(data, record.id) / FILES
        self.requests = AgentRequests(run_log, folder, environment, lambda: self._mode, files=self._files)
        # How many updates came: a turn in which none came has begun nothing.
        self.heard = 0
        self._mode = ""
        self._data = data
        self._folder = folder
        self._log = run_log
        self._environment = environment
        self._servers = servers
        self._versions = versions
        self._opening = SessionOpening(run_log)
        self._embedded = EmbeddedTerminals(self.requests.terminals, run_log.update)

    async def start(self, burrow: str) -> None:
        """Start the process and agree on a version. Raises `NotStarted` and as `AcpSession` does.

        An agent that does not take the offer of the draft is started again with version 1.
        """
        versions, command = self._versions, self.record.agent.command
        if versions is None or versions.offered(command) == FIRST:
            await self._start(FIRST, burrow)
            return
        try:
            await self._start(DRAFT, burrow)
        except (RpcError, PeerClosed, ProtocolTrouble) as refusal:
            log.info("%s does not take version 2: %s", self.record.agent.name, words_of(refusal))
            await self._end_process()
            await self._start(FIRST, burrow)
            try:
                await versions.refused(command)
            except BurrowError as failure:
                log.warning("the version of an agent cannot be stored: %s", failure.cause)

    async def _start(self, version: int, burrow: str) -> None:
        self.process = await AgentProcess.start(
            self.record.agent.command,
            self._folder.path,
            self._environment,
            on_request=lambda method, params, _id: self.requests.handle(method, params),
            on_notification=self._notified,
        )
        self.session = session = AcpSession(self.process.peer, self._folder.path, self.record.agent.command)
        await session.initialize(version, burrow)
        self.requests.version = session.facts.version
        self.requests.missing_as_empty = session.facts.name in MISSING_AS_EMPTY

    async def open(self, *, anew: bool) -> str:
        """Open the session that the run had, or a new one. Returns why the agent does not know what was said, if so."""
        session = self._running()
        if session.facts.more_folders and await asyncio.to_thread(self._files.is_dir):
            session.more_folders = (str(self._files),)
        servers = await self._open_servers(session)
        return await self._opening.open(session, "" if anew else self.record.session, servers)

    async def announce(self) -> None:
        """Store the session, and say in the log that the agent takes messages now."""
        session = self._running()
        await self.keep(session=session.id)
        name = " ".join(each for each in (session.facts.name, session.facts.agent_version) if each)
        ids = {"sessionId": session.id, "runId": self.record.id, "taskId": self.record.task}
        self._log.notify("_posthog/run_started", **ids, agentVersion=name)
        self._show_options(session)
        await self._choose_mode(session)
        self.requests.questions.closed = False

    async def hand_over(self, text: str, files: Sequence[str]) -> Handed:
        """A message as this agent takes it. Raises `StorageTrouble` for a file that cannot be read."""
        facts = self._running().facts
        return await asyncio.to_thread(hand_over, text, files, facts) if files else hand_over(text, (), facts)

    async def set_option(self, option: str, value: str | bool) -> None:
        """Change a setting of the session. Raises `BurrowError` with the agent's words."""
        session = self._running()
        try:
            await session.set_option(option, value)
        except RpcError as failure:
            if failure.code != METHOD_NOT_FOUND or option not in {"mode", "model"} or not isinstance(value, str):
                raise refused(failure) from None
            await self._set_older(session, option, value)
            return
        except (PeerClosed, TimeoutError) as failure:
            raise refused(failure) from None
        self.requests.chose_mode(str(value))
        self._show_options(session)

    async def sign_in(self, method: str) -> None:
        """Have the agent sign in. Raises `BurrowError` with its words."""
        try:
            await self._running().authenticate(method)
        except (RpcError, PeerClosed) as failure:
            raise refused(failure) from None

    async def keep(self, **fields: str | float | bool) -> None:
        """Change what is kept of the run, and store it. What cannot be stored is logged."""
        record = msgspec.structs.replace(self.record, **fields)
        if record != self.record:
            self.record = record
            try:
                await asyncio.to_thread(save_record, self._data, record)
            except OSError as failure:
                log.warning("the record of a run cannot be stored: %s", failure)

    def know(self, record: LocalRecord) -> None:
        """Another process changed what is kept of the run."""
        self.record = record

    async def end(self) -> None:
        """End the process with all that it started, and revoke the key of its servers."""
        self.requests.questions.cancel_all()
        await self._end_process()
        await self.requests.terminals.end()
        self._embedded.end()
        if self._servers is not None:
            await self._servers.close()
            await self.keep(client="")

    async def _end_process(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            await process.end()
        if self.session is not None:
            self.session.ended()
        self.session = None

    async def _open_servers(self, session: AcpSession) -> list[dict[str, object]]:
        if self._servers is None or self._servers.client:
            return []
        if not session.facts.http_servers:
            self._log.notify("_posthog/console", level="warn", message=NO_SERVERS)
            return []

        async def created(client: str) -> None:
            await self.keep(client=client)

        return await self._servers.open(created)

    def _notified(self, method: str, params: dict[str, object]) -> None:
        if method != UPDATE:
            if not method.startswith("$/"):
                self._log.add({"method": method, "params": params})
            return
        session = self.session
        for each in (params,) if session is None else session.updates(params):
            if self._opening.replay is not None:
                self._opening.replay.add(dict(each))
                continue
            self.heard += 1
            update = each.get("update")
            if isinstance(update, dict) and session is not None:
                if update.get("sessionUpdate") == "current_mode_update":
                    self._mode = str(update.get("currentModeId"))
                elif isinstance(options := update.get("configOptions"), list):
                    session.options = options
                    self._mode = mode_of(options)
            self._log.update(self._embedded.shown(dict(each)))

    def _show_options(self, session: AcpSession) -> None:
        self._mode = mode_of(session.options) or self._mode
        if session.options:
            self._update({"sessionUpdate": "config_option_update", "configOptions": session.options})

    def _update(self, update: Mapping[str, object]) -> None:
        session = "" if self.session is None else self.session.id
        self._log.add({"method": UPDATE, "params": {"sessionId": session, "update": update}})

    async def _choose_mode(self, session: AcpSession) -> None:
        """Have the agent work in the mode that the person chose. The log says so where it does not."""
        wanted = self.record.mode
        if not wanted:
            return
        found = option_of_mode(session.options, wanted)
        try:
            if found is None:
                raise refused(RpcError(METHOD_NOT_FOUND, f"The agent has no permission mode {wanted}."))
            if found.value != self._mode:
                await self.set_option(found.option, found.value)
            self.requests.chose_mode(found.value)
        except BurrowError as failure:
            text = f"{failure.cause} It works in its own mode: {self._mode or 'the usual one'}."
            self._log.notify("_posthog/console", level="warn", message=text)

    async def _set_older(self, session: AcpSession, option: str, value: str) -> None:
        """Set mode or model of an agent without settings."""
        try:
            await (session.set_mode(value) if option == "mode" else session.set_model(value))
        except (RpcError, PeerClosed, TimeoutError) as failure:
            raise refused(failure) from None
        session.options = with_value(session.options, option, value)
        if option == "mode":
            self._mode = value
            self.requests.chose_mode(value)
            self._update({"sessionUpdate": "current_mode_update", "currentModeId": value})
        else:
            self._show_options(session)

    def _running(self) -> AcpSession:
        if self.session is None:
            raise ServerTrouble("The agent is not running.", action="Start the run again.")
        return self.session


def refused(failure: Exception) -> BurrowError:
    """What the agent did not do, as an error for the person."""
    return ServerTrouble(words_of(failure), Facts(code="agent-refused"), action="Check the agent's settings.")
