"""Listening to servers for changes of their tool lists: when, what follows, and that it stands in nobody's way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from app.core.auth.cause import Cause, CauseKind
from app.core.auth.http.target import CredentialAtStake
from app.core.auth.status import CredentialState, CredentialStatus
from app.core.auth.tokens import TokenSet, fingerprint
from app.core.diagnostics.activity import Activity
from app.core.errors import Offline
from app.core.hosts import Host
from app.core.mcp.protocol import connection as connection_module
from app.core.mcp.protocol.listening import START_SECONDS
from app.core.mcp.protocol.reconnect import ReconnectTiming
from app.core.mcp.protocol.sign_in_gate import SignInGate
from app.core.mcp.servers import registry as servers_module
from app.core.mcp.servers.account import McpAccount
from app.core.mcp.servers.host_source import HostSource
from app.core.mcp.servers.registry import Servers
from app.core.mcp.servers.store_source import StoreSource
from app.core.storage.storage import Storage
from app.core.urls import origin_of
from tests.core._mcp_server import tool
from tests.core.test_mcp_servers import Store, refreshed
from tests.faults._listening import Clock, Scene, Watched, listening
from tests.faults._streams import Refusal, Streaming

UNKNOWN = {"code": -32601, "message": "Method not found"}


async def reopened(scene: Scene) -> None:
    """Have the connection's session replaced by another."""
    (opened,) = scene.connection._sessions
    assert opened.owner is not None
    opened.owner.cancel()
    await asyncio.wait({opened.owner})
    await scene.connection.tools()


@pytest.mark.parametrize(
    "refusal",
    [Refusal(404, UNKNOWN), Refusal(200, UNKNOWN), Refusal(405), Refusal(404, text="Not Found"), Refusal(202)],
    ids=["unknown-method", "unknown-method-200", "405", "404", "202"],
)
async def test_a_server_without_listeners_is_asked_once_whatever_sessions_follow(
    tmp_path: Path, refusal: Refusal
) -> None:
    async with listening(tmp_path, refusals={"subscriptions/listen": refusal}) as scene:
        await scene.deaf()
        await reopened(scene)
        assert scene.listeners == []
        assert len(scene.server.requests("subscriptions/listen")) == 1
        assert scene.missed.empty()


@pytest.mark.parametrize("status", [405, 204])
async def test_an_older_server_without_a_stream_is_asked_once(tmp_path: Path, status: int) -> None:
    async with listening(tmp_path, legacy=True, refusals={"GET": Refusal(status)}) as scene:
        await scene.server.arrival("GET")
        assert await scene.connection.tools()
        # The MCP SDK asks a second time after a second, and then no more.
        await asyncio.wait(streams_of_the_sdk())
        assert len(scene.server.requests("GET")) == 1


async def test_a_server_that_ends_a_stream_with_its_result_is_listened_to_again(tmp_path: Path) -> None:
    async with listening(tmp_path) as scene:
        first = await scene.server.listeners.get()
        await first.acknowledge()
        await first.answer(result={"resultType": "complete"})
        second = await scene.server.listeners.get()
        assert first.id != second.id
        assert await scene.clock.next(2) == [START_SECONDS, 1]


async def test_a_server_that_agrees_to_tell_of_something_else_is_left(tmp_path: Path) -> None:
    async with listening(tmp_path) as scene:
        stream = await scene.server.listeners.get()
        await stream.acknowledge(honoured=False)
        await scene.deaf()
        await stream.over.wait()
        assert scene.missed.empty()


@pytest.mark.parametrize("capabilities", [{"tools": {}}, {"tools": {"listChanged": False}}, {}])
async def test_a_server_that_does_not_tell_of_changes_is_not_asked(capabilities: dict[str, Any]) -> None:
    async with Streaming() as server, connected(server, Clock().timing) as servers:
        server.capabilities = capabilities
        await servers.tools("workspace", refresh=True)
        assert listeners() == []


@pytest.mark.parametrize("legacy", [False, True])
async def test_nothing_is_listened_to_through_the_stores_proxy_which_counts_each_request(
    tmp_path: Path, legacy: bool
) -> None:
    async with listening(tmp_path, legacy=legacy, owner=CredentialAtStake.VENDOR_BEHIND) as scene:
        assert scene.listeners == []
        await asyncio.gather(*streams_of_the_sdk())
        assert not scene.server.requests("GET")
        assert not scene.server.requests("subscriptions/listen")


async def test_a_connection_that_is_soon_closed_never_listens(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def endless(seconds: float) -> None:
        assert seconds == START_SECONDS
        asked.set()
        await asyncio.Event().wait()

    async with Streaming() as server, connected(server, ReconnectTiming(endless)) as servers:
        await servers.tools("workspace", refresh=True)
        await asked.wait()
        started = monotonic()
        await servers.close()
        assert monotonic() - started < connection_module.CLOSE_SECONDS / 2
        assert not server.requests("subscriptions/listen")
        assert listeners() == []


@pytest.mark.parametrize("stage", ["open", "pausing", "waiting"])
async def test_closing_leaves_no_older_stream_behind_at_any_stage(tmp_path: Path, stage: str) -> None:
    async with listening(tmp_path, legacy=True) as scene:
        stream = await scene.server.listeners.get()
        await stream.announce(lines="retry: 10\r\n")
        if stage == "pausing":
            scene.clock.stands_still = True
            await stream.end()
            assert await scene.clock.next(1) == [1]
        elif stage == "waiting":
            await scene.rig.credential.sign_out()
            await stream.end()
            await scene.sign_ins.waited_for.wait()
        started = monotonic()
        await scene.connection.close()
        assert monotonic() - started < connection_module.CLOSE_SECONDS / 2
        assert streams_of_the_sdk() == []
        assert scene.sign_ins.waiting == 0
        await stream.over.wait()


@pytest.mark.parametrize("stage", ["opening", "open", "pausing"])
async def test_closing_leaves_no_listener_behind_at_any_stage(tmp_path: Path, stage: str) -> None:
    async with listening(tmp_path) as scene:
        stream = await scene.server.listeners.get()
        if stage != "opening":
            await stream.acknowledge()
            await scene.missed.get()
        if stage == "pausing":
            scene.clock.stands_still = True
            await stream.end()
            assert await scene.clock.next(2) == [START_SECONDS, 1]
        started = monotonic()
        await scene.connection.close()
        assert monotonic() - started < connection_module.CLOSE_SECONDS / 2
        assert scene.listeners == []
        await stream.over.wait()


async def test_closing_leaves_no_listener_behind_that_waits_for_a_sign_in(tmp_path: Path) -> None:
    async with listening(tmp_path) as scene:
        stream = await scene.server.listeners.get()
        await scene.rig.credential.sign_out()
        await stream.end()
        await scene.sign_ins.waited_for.wait()
        await scene.connection.close()
        assert scene.listeners == []
        assert scene.sign_ins.waiting == 0


async def test_a_server_that_never_agrees_is_left_and_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection_module.load_session_module()
    monkeypatch.setattr("app.core.mcp.protocol.session.ACKNOWLEDGE_SECONDS", 0.05)
    async with listening(tmp_path) as scene:
        first = await scene.server.listeners.get()
        await first.over.wait()
        second = await scene.server.listeners.get()
        assert first.id != second.id
        assert await scene.clock.next(2) == [START_SECONDS, 1]


async def test_a_defect_in_listening_leaves_the_connection_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    async def defect(_seconds: float) -> None:
        raise ZeroDivisionError

    async with Streaming() as server, connected(server, ReconnectTiming(defect)) as servers:
        with caplog.at_level(logging.ERROR):
            await servers.tools("workspace", refresh=True)
            await servers.tools("workspace", refresh=True)
        assert "the subscription failed" in caplog.text
        assert len(server.requests("server/discover")) == 1


@asynccontextmanager
async def connected(server: Streaming, timing: ReconnectTiming) -> AsyncIterator[Servers]:
    """The servers of a host whose own endpoint is `server`, with somebody signed in."""
    host = Host("workspace", "Workspace", origin_of(server.url), server.url)
    storage = Storage.in_memory()
    account = McpAccount(host, SignedIn())
    servers = Servers(Activity(), storage.cache, (HostSource(account), StoreSource(account, Store())), timing=timing)
    try:
        yield servers
    finally:
        await servers.close()
        await storage.close()


def streams_of_the_sdk() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if "handle_get_stream" in task.get_name()]


def listeners() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("mcp listener")]


async def test_what_is_announced_on_a_listen_stream_is_read_once_after_a_burst() -> None:
    async with Streaming() as server, connected(server, Clock().timing) as servers:
        await servers.tools("workspace")
        stream = await server.listeners.get()
        await stream.acknowledge()
        await refreshed_after(server, servers, 2)
        server.tools.append(tool("late"))
        await stream.announce(times=5)
        await refreshed_after(server, servers, 3)
        assert [row.name for row in await servers.tools("workspace")] == ["echo", "count", "late"]


async def test_what_changed_while_nobody_listened_is_read_once_a_stream_is_open_again() -> None:
    async with Streaming() as server, connected(server, Clock().timing) as servers:
        await servers.tools("workspace")
        await (await server.listeners.get()).cut()
        server.tools.append(tool("unheard"))
        await (await server.listeners.get()).acknowledge()
        told: list[str] = []
        servers.tools_changed.subscribe(told.append)
        await refreshed_after(server, servers, 2)
        assert [row.name for row in await servers.tools("workspace")] == ["echo", "count", "unheard"]
        assert told == ["workspace"]


async def refreshed_after(server: Streaming, servers: Servers, count: int) -> None:
    """Wait until the list was read for the `count`th time and nothing more is under way."""
    while len(server.requests("tools/list")) < count:
        await server.arrivals.get()
    await refreshed(servers, "tools")
    assert len(server.requests("tools/list")) == count


class SignedIn:
    """A sign-in as listeners see it; a test sets its status."""

    def __init__(self, **status: Any) -> None:
        self.changed = Watched()
        self.status = CredentialStatus(**{"state": CredentialState.SIGNED_IN, **status})
        self.tokens: TokenSet | None = TokenSet("pha_1")
        self.refused: list[tuple[TokenSet, Cause]] = []

    def auth(self, _target: Any) -> None:
        return None

    async def access_token(self) -> TokenSet | None:
        return self.tokens

    async def refresh(self, refused: TokenSet, cause: Cause) -> TokenSet:
        self.refused.append((refused, cause))
        raise Offline("no network")

    def become(self, **status: Any) -> None:
        self.status = CredentialStatus(**{"state": CredentialState.SIGNED_IN, **status})
        self.changed.emit(self.status)


@pytest.mark.parametrize(
    "status",
    [
        {"state": CredentialState.NEEDS_SIGN_IN},
        {"state": CredentialState.SIGNED_OUT},
        {"state": CredentialState.RESTORING},
        {"state": CredentialState.RESTORING, "trouble": "vault-locked"},
        {"trouble": "vault-absent"},
    ],
)
async def test_listeners_wait_while_only_the_person_can_help(status: dict[str, Any]) -> None:
    credentials = SignedIn(**status)
    waiting = asyncio.create_task(SignInGate(credentials).ready())
    await credentials.changed.waited_for.wait()
    credentials.become(**{**status, "refreshing_since": 1.0})
    await asyncio.sleep(0)
    assert not waiting.done()
    credentials.become()
    assert await waiting is True
    assert credentials.changed.waiting == 0


@pytest.mark.parametrize("trouble", [None, "offline", "server"])
async def test_listeners_do_not_wait_for_what_passes_by_itself(trouble: str | None) -> None:
    assert await SignInGate(SignedIn(trouble=trouble)).ready() is False


@pytest.mark.parametrize(("carried", "asked"), [("pha_1", 1), ("pha_0", 0)])
async def test_only_the_current_token_is_renewed_and_a_failure_is_no_ones(carried: str, asked: int) -> None:
    credentials = SignedIn()
    cause = Cause(CauseKind.REFUSED, "streaming", "jsonrpc-auth")
    await SignInGate(credentials).refused(fingerprint(f"Bearer {carried}"), cause)
    assert [why for _tokens, why in credentials.refused] == [cause] * asked
    credentials.tokens = None
    await SignInGate(credentials).refused(fingerprint("Bearer pha_1"), cause)
    assert len(credentials.refused) == asked


@pytest.fixture(autouse=True)
def _settled_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers_module, "SETTLE_SECONDS", 0.1)
