"""The proxy of one process on real services, and a client that speaks to it over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app.core.auth.vault.base import StoreKind
from app.core.mcp.proxy.handover import Role
from app.core.mcp.proxy.host import SignInNotice
from app.core.mcp.proxy.listeners import bind, close_all, number_of
from app.core.mcp.proxy.service import PORT_SETTING, ProxyService, ProxyState
from app.core.mcp.proxy.sign_in_notices import WindowNotice
from app.core.services import Services
from tests.workspace.store_client import modern, modern_headers

SECONDS = 15.0


def free_port() -> int:
    """A port that nobody listens on now."""
    listeners = bind(0)
    found = number_of(listeners)
    close_all(listeners)
    return found


@dataclass
class Served:
    """Services with a proxy that serves, and the key of a client."""

    services: Services
    proxy: ProxyService
    key: str
    client_id: str
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(trust_env=False, timeout=SECONDS))

    def at(self, server_id: str) -> str:
        return self.proxy.status.address_of(server_id)

    @property
    def headers(self) -> dict[str, str]:
        return {"accept": "application/json, text/event-stream", "authorization": f"Bearer {self.key}"}

    async def post(self, server_id: str, method: str, **params: Any) -> httpx.Response:
        """One request of revision 2026-07-28, which needs no session."""
        headers = {**self.headers, **modern_headers(params.get("name"), method)}
        return await self.http.post(self.at(server_id), json=modern(method, **params), headers=headers)

    async def call(self, server_id: str, tool: str, **arguments: Any) -> dict[str, Any]:
        """The JSON-RPC answer of a call, in whatever it came."""
        return message_of(await self.post(server_id, "tools/call", name=tool, arguments=arguments))


def message_of(answer: httpx.Response) -> dict[str, Any]:
    """The only JSON-RPC message of an answer."""
    assert answer.status_code == 200, (answer.status_code, answer.text)
    if answer.headers["content-type"].startswith("text/event-stream"):
        [data] = [line[5:] for line in answer.text.splitlines() if line.startswith("data:") and line[5:].strip()]
        return dict(json.loads(data))
    return dict(answer.json())


async def state_is(proxy: ProxyService, *states: ProxyState) -> None:
    """Wait until the proxy is in one of these states."""
    changed = asyncio.Event()
    unsubscribe = proxy.changed.subscribe(lambda _status: changed.set())
    try:
        async with asyncio.timeout(SECONDS):
            while proxy.status.state not in states:
                changed.clear()
                if proxy.status.state is ProxyState.FAILED and ProxyState.STARTING not in states:
                    raise AssertionError(proxy.status.trouble)
                await changed.wait()
    finally:
        unsubscribe()


@asynccontextmanager
async def serving(
    folder: Path,
    notice: Callable[[Services], SignInNotice] = lambda services: WindowNotice(lambda: services.sign_ins),
    role: Role = Role.WINDOW,
) -> AsyncIterator[Served]:
    """A process whose proxy serves on a free port."""
    services = Services(folder, store=StoreKind.FILE)
    proxy = ProxyService(services, role, notice(services))
    try:
        if services.storage.settings.get(PORT_SETTING) is None:
            await services.storage.settings.set(PORT_SETTING, free_port())
        await proxy.start()
        await state_is(proxy, ProxyState.SERVING, ProxyState.PORT_TAKEN)
        client, key = await proxy.clients.create(f"client of {id(proxy)}")
        served = Served(services, proxy, key, client.id)
        try:
            yield served
        finally:
            await served.http.aclose()
    finally:
        # No test waits for what would keep the port open for the next start.
        await proxy.stop(keep=False)
        await proxy.close()
        await services.close()
