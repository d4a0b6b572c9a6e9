"""The door of the place, on the services: the proxy and its clients, the servers, and the programs of this machine."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.data_folder import DATA_VARIABLE, data_folder
from app.core.errors import BurrowError, NotFound
from app.core.events import Event
from app.core.mcp.proxy.service import ProxyState
from app.marks import revealed_name
from app.ui.connect.facts import (
    ClientFacts,
    FilePreview,
    PreviewOutdated,
    ProgramFacts,
    ProxiedServer,
    ProxyFacts,
    ProxyPhase,
    ServerUse,
    SnippetFacts,
    StepFacts,
    StepOutcome,
)
from app.ui.connect.wording import tr
from app.ui.translation import marked
from app.ui.widgets.times import moment_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from app.core.mcp.programs.edits import ConfigEdit
    from app.core.mcp.programs.entries import Access
    from app.core.mcp.programs.places import Found
    from app.core.mcp.programs.program import OfferedServer, Via
    from app.core.mcp.proxy.clients import KnownClient, ProxyClients
    from app.core.mcp.proxy.parts import ToolRule
    from app.core.mcp.proxy.service import ProxyService
    from app.core.mcp.servers.server import Server
    from app.core.mcp.tools import ToolInfo
    from app.core.services import Services

PHASES = {
    ProxyState.OFF: ProxyPhase.OFF,
    ProxyState.STARTING: ProxyPhase.STARTING,
    ProxyState.SERVING: ProxyPhase.SERVING,
    ProxyState.STANDING_BY: ProxyPhase.STANDING_BY,
    ProxyState.PORT_TAKEN: ProxyPhase.PORT_TAKEN,
    ProxyState.FAILED: ProxyPhase.FAILED,
}
WAYS = {"http": marked("Connect", "Address and key"), "stdio": marked("Connect", "Command")}


class ServicesDoor:
    """`ConnectDoor` on the services of the process. It belongs to the main loop, and handles files in threads."""

    def __init__(self, services: Services) -> None:
        self.changed: Event[None] = Event()
        self.tools_changed: Event[str] = services.servers.tools_changed
        self._services = services
        # The plans of previews, so that exactly what was shown is written.
        self._plans: dict[str, ConfigEdit] = {}
        # For as long as the process: a place is built once.
        self._proxy.changed.subscribe(self._tell)
        self._clients.changed.subscribe(self._tell)
        services.servers.changed.subscribe(self._tell)
        services.sign_ins.changed.subscribe(self._tell)

    @property
    def account(self) -> str:
        """Who is signed in."""
        from app.core.auth.status import CredentialState

        backend = self._services.backend
        if backend is None or backend.credential.status.state is not CredentialState.SIGNED_IN:
            return ""
        user = backend.account
        return (
            backend.host.name
            if user is None
            else tr("{0} on {1}").format(revealed_name(user.short_name), backend.host.name)
        )

    def proxy(self) -> ProxyFacts:
        """The proxy as it stands in this process."""
        status = self._proxy.status
        other = status.state is not ProxyState.FAILED and bool(status.trouble)
        owner = "" if status.owner is None else status.owner.value
        return ProxyFacts(PHASES[status.state], status.port, status.address, other, status.trouble, owner, status.pid)

    def servers(self) -> tuple[ProxiedServer, ...]:
        """The servers that are known now, with their addresses."""
        status = self._proxy.status
        return tuple(
            ProxiedServer(each, status.address_of(each.id) if status.address else "")
            for each in self._services.servers.listed
        )

    def clients(self) -> tuple[ClientFacts, ...]:
        """Every client."""
        return tuple(_client(each) for each in self._clients.clients)

    async def load(self) -> None:
        """Look at what other processes changed."""
        await self._clients.look()
        # Why servers cannot be listed is said where they are.
        with suppress(BurrowError):
            await self._services.servers.list()

    async def watch(self) -> None:
        """Look once a second until cancelled."""
        await self._clients.watch()

    async def programs(self) -> tuple[ProgramFacts, ...]:
        """Every program, and whether it is installed."""
        return tuple(
            ProgramFacts(each.program.id, each.program.title, each.installed) for each in await asyncio.to_thread(_find)
        )

    async def set_on(self, on: bool) -> None:
        await self._proxy.switch(on)

    async def set_port(self, port: int) -> None:
        await self._proxy.use_port(port)

    async def retry(self) -> None:
        await self._proxy.retry()

    async def create(self, name: str, program: str, servers: frozenset[str] | None) -> tuple[str, str]:
        client, key = await self._clients.create(name, program, servers)
        return client.id, key

    async def renew_key(self, client_id: str) -> str:
        return await self._clients.renew_key(client_id)

    async def rename(self, client_id: str, name: str) -> None:
        await self._clients.rename(client_id, name)

    async def revoke(self, client_id: str) -> None:
        await self._clients.revoke(client_id)

    async def choose_servers(self, client_id: str, servers: frozenset[str] | None) -> None:
        await self._clients.choose_servers(client_id, servers)

    async def tools(self, server_id: str, *, refresh: bool = False) -> tuple[ToolInfo, ...]:
        return await self._services.servers.tools(server_id, refresh=refresh)

    def rule_of(self, client_id: str, server_id: str, tool: str) -> ToolRule | None:
        return self._clients.rule_of(client_id, server_id, tool)

    async def set_rules(self, client_id: str, server_id: str, rules: Sequence[tuple[str, ToolRule | None]]) -> None:
        await self._clients.set_rules(client_id, server_id, dict(rules))

    async def snippets(self, client_id: str, key: str | None) -> tuple[SnippetFacts, ...]:
        """The ways of the client's program. Without a key a sign stands for it."""
        client, found = self._known(client_id), await self._installation(client_id)
        return await asyncio.to_thread(self._snippets, client, found, self._offered(client), key or "")

    async def preview(self, client_id: str, snippet: str, key: str | None, file: str) -> FilePreview:
        """What adding the entries to the file would change."""
        from app.core.mcp.programs.edits import add
        from app.core.mcp.programs.program import Via

        client, found = self._known(client_id), await self._installation(client_id)
        servers, access = self._offered(client), self._access(client, key or "")

        edit = await asyncio.to_thread(add, found.program, Path(file), servers, access, Via(snippet))
        self._plans[file] = edit
        others = tr("Other users of this computer can read this file, and so the key in it.")
        note = others if edit.readable_by_others and Via(snippet) is Via.HTTP else ""
        return FilePreview(file, edit.diff if edit.changes else "", edit.before is None, note)

    async def write(self, shown: FilePreview) -> str:
        """Write what was shown, and nothing else."""
        from app.core.mcp.programs.config_file import read_config
        from app.core.mcp.programs.edits import SIZE_LIMIT
        from app.core.mcp.programs.refused import ConfigRefused

        edit = self._plans[shown.path]

        def write() -> str:
            try:
                return str(edit.write() or "")
            except ConfigRefused:
                if read_config(edit.path, SIZE_LIMIT) != edit.before:
                    raise PreviewOutdated(tr("Nothing was written.")) from None
                raise

        copy = await asyncio.to_thread(write)
        self._plans.pop(shown.path, None)
        return copy

    async def test(self, client_id: str, key: str | None) -> AsyncIterator[StepFacts]:
        """Try the client as its program would use the proxy."""
        from app.core.mcp.programs.trial import TrialOutcome, try_client

        client, found = self._known(client_id), await self._installation(client_id)
        outcomes = {
            TrialOutcome.RUNNING: StepOutcome.RUNNING,
            TrialOutcome.OK: StepOutcome.DONE,
            TrialOutcome.FAILED: StepOutcome.FAILED,
            TrialOutcome.SKIPPED: StepOutcome.SKIPPED,
        }
        access = self._access(client, key or "", now=True)
        tried = try_client(
            found.program,
            self._offered(client),
            access.address,
            access.key,
            client=access.client,
            data=access.data,
            installation=found,
        )
        async for step in tried:
            yield StepFacts(step.title, outcomes[step.outcome], step.words)

    @property
    def _proxy(self) -> ProxyService:
        return self._services.proxy

    @property
    def _clients(self) -> ProxyClients:
        return self._proxy.clients

    def _tell(self, _what: object) -> None:
        self.changed.emit(None)

    def _known(self, client_id: str) -> KnownClient:
        for each in self._clients.clients:
            if each.client.id == client_id:
                return each
        raise NotFound(tr("This client is not there any more."))

    def _offered(self, known: KnownClient) -> tuple[OfferedServer, ...]:
        """The servers that the client may use."""
        from app.core.mcp.programs.program import OfferedServer

        chosen = known.client.servers
        listed: tuple[Server, ...] = self._services.servers.listed
        return tuple(OfferedServer(each.id, each.title) for each in listed if chosen is None or each.id in chosen)

    def _access(self, known: KnownClient, key: str, *, now: bool = False) -> Access:
        """With the address that was chosen; `now`: with the one that answers, which may be temporary."""
        from app.core.mcp.programs.entries import Access

        status = self._proxy.status
        chosen = f"http://127.0.0.1:{status.port}"
        address = status.address or chosen if now else chosen
        return Access(address, key, known.client.id, _unusual(self._services.folder))

    async def _installation(self, client_id: str) -> Found:
        from app.core.mcp.programs.places import found
        from app.core.mcp.programs.table import program

        return await asyncio.to_thread(found, program(self._known(client_id).client.program))

    def _snippets(
        self, known: KnownClient, installation: Found, servers: Sequence[OfferedServer], key: str
    ) -> tuple[SnippetFacts, ...]:
        program = installation.program
        files = () if program.owns_file else tuple(str(each.path) for each in installation.files)
        return tuple(self._snippet(known, installation, servers, key, via, files) for via in program.vias)

    def _snippet(
        self,
        known: KnownClient,
        installation: Found,
        servers: Sequence[OfferedServer],
        key: str,
        via: Via,
        files: tuple[str, ...],
    ) -> SnippetFacts:
        from app.core.mcp.programs.program import Via
        from app.core.mcp.programs.snippets import snippet

        access = self._access(known, key)
        made = snippet(
            installation.program, servers, access.address, key, client=access.client, data=access.data, via=via
        )
        return SnippetFacts(
            via.value,
            tr(WAYS[via.value]),
            # A line feed at the end would run a command as soon as it is pasted.
            made.text.rstrip("\n"),
            made.note,
            command=made.language == "shell",
            files=files,
            keyed=via is Via.HTTP,
        )


def _client(known: KnownClient) -> ClientFacts:
    client = known.client
    return ClientFacts(
        client.id,
        client.name,
        client.program,
        client.servers,
        moment_at(known.created_at),
        _moment(known.revoked_at),
        tuple(ServerUse(each.server, each.calls, moment_at(each.last_used), each.agent) for each in known.use),
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment_at(seconds)


def _find() -> tuple[Found, ...]:
    from app.core.mcp.programs.places import found
    from app.core.mcp.programs.table import PROGRAMS

    return tuple(found(each) for each in PROGRAMS)


def _unusual(folder: Path) -> Path | None:
    """Burrow's folder, if a program that starts Burrow would not find it by itself."""
    return folder if os.environ.get(DATA_VARIABLE) or folder != data_folder() else None
