"""Fetches the list of tools from an installation's MCP server."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from app.workspace.mcp.mount import WORKSPACE, mounts_of
from app.workspace.runtime.import_thread import in_thread
from app.workspace.store.addresses import absolute, is_loopback
from app.workspace.store.oauth_client import (
    VendorGrantEnded,
    VendorUnreachable,
    vendor_token,
)
from app.workspace.store.rows import ListedTool, StoreInstallation, installation, save_tools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.workspace.runtime.context import Workspace

SYNC_SECONDS = 30.0
# A server could list tools without an end.
MOST_TOOLS = 2000
MOST_PAGES = 100


class SyncFailed(Exception):
    """The tools of a server could not be fetched."""


async def sync_tools(workspace: Workspace, wanted: StoreInstallation) -> None:
    """Fetch the server's tools and store them. Raises `SyncFailed`; what was stored before stays."""
    try:
        async with asyncio.timeout(SYNC_SECONDS):
            listed = await _listed(workspace, wanted)
    except TimeoutError:
        raise SyncFailed from None
    now = workspace.clock.now()
    await workspace.db.run(lambda db: save_tools(db, wanted.id, listed, now))


async def sync_quietly(workspace: Workspace, project: int, wanted: str) -> None:
    """`sync_tools` in the background. A failure is only logged; the person can refresh the list."""
    found = await workspace.db.read(lambda db: installation(db, project, wanted))
    if found is None:
        return
    try:
        await sync_tools(workspace, found)
    except SyncFailed:
        logging.getLogger(__name__).info("The tools of an installation could not be listed")


async def _listed(workspace: Workspace, wanted: StoreInstallation) -> Sequence[ListedTool]:
    if wanted.is_own_server:
        try:
            server = await mounts_of(workspace)[WORKSPACE].server()
        except ImportError:
            raise SyncFailed from None
        return [_tool(one) for one in await server.list_tools()]
    url = absolute(wanted.url, workspace.settings.url)
    if not is_loopback(url):
        raise SyncFailed
    if wanted.auth_type == "api_key":
        return await _ask(url, wanted.api_key, set())
    # A 401 may mean that the vendor ended the token early: refresh once and try again.
    refused: str | None = None
    for _attempt in range(2):
        try:
            token = await vendor_token(workspace, wanted, refused)
        except (VendorGrantEnded, VendorUnreachable):
            raise SyncFailed from None
        statuses: set[int] = set()
        try:
            return await _ask(url, token, statuses)
        except SyncFailed:
            if 401 not in statuses:
                raise
            refused = token
    raise SyncFailed


async def _ask(url: str, credential: str, statuses: set[int]) -> list[ListedTool]:
    """The server's list, by the SDK's client. The HTTP statuses of its requests are added to `statuses`."""
    await in_thread(_import_client)
    import httpx2
    from mcp.client.client import Client
    from mcp.client.streamable_http import streamable_http_client

    async def note(response: httpx2.Response) -> None:
        statuses.add(response.status_code)
        # Asked for as it is: a compressed answer becomes any size before it can be counted.
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise SyncFailed

    headers = {"Authorization": f"Bearer {credential}", "Accept-Encoding": "identity"}
    http = httpx2.AsyncClient(headers=headers, trust_env=False, timeout=SYNC_SECONDS, event_hooks={"response": [note]})
    found: list[ListedTool] = []
    try:
        async with http, Client(streamable_http_client(url, http_client=http), cache=None) as client:
            cursor: str | None = None
            for _page in range(MOST_PAGES):
                answer = await client.list_tools(cursor=cursor)
                found += [_tool(one) for one in answer.tools]
                cursor = answer.next_cursor
                if cursor is None or len(found) >= MOST_TOOLS:
                    break
    # Whatever the server sends, the SDK may raise it bare, in a group, or as an error of validation.
    except Exception as failure:
        raise SyncFailed from failure
    return found[:MOST_TOOLS]


def _import_client() -> None:
    import mcp.client.client
    import mcp.client.streamable_http  # noqa: F401


def _tool(one: Any) -> ListedTool:
    title = one.title or (one.annotations.title if one.annotations else None) or ""
    return ListedTool(one.name, title, one.description or "", one.input_schema)
