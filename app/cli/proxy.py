"""`burrow proxy`: the local MCP proxy without a window."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from app.cli.common import connect, services_of
from app.cli.signals import interruption, to_the_end
from app.cli.terminal import data, line, say
from app.core.errors import BurrowError, ServerTrouble, SignInNeeded
from app.core.mcp.proxy.approvals import HEADLESS_ALLOW, HEADLESS_SETTING
from app.core.mcp.proxy.handover import Role
from app.core.mcp.proxy.service import FOLDER, ProxyService, ProxyState
from app.core.mcp.proxy.sign_in_notices import BrowserNotice

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from app.core.mcp.proxy.approvals import ApprovalSettings
    from app.core.mcp.proxy.service import ProxyStatus
    from app.core.services import Services

log = logging.getLogger(__name__)

# What becomes of a call that asks, where there is no window to ask in.
ANSWERS = ("refuse", HEADLESS_ALLOW)
# With `--while-used`: how long nothing has to come, and how often that is looked at.
UNUSED_SECONDS, LOOK_SECONDS = 300.0, 5.0
RECONNECT_SECONDS = 30.0


def add_arguments(command: argparse.ArgumentParser, port: Callable[[str], int]) -> None:
    """The options of `burrow proxy`."""
    command.add_argument("--port", type=port, help="serve on this port, this time")
    command.add_argument(
        "--ask",
        choices=ANSWERS,
        help=f"what to do with a call of a tool whose policy is Ask, where no window can ask ({ANSWERS[0]})",
    )
    command.add_argument(
        "--while-used", action="store_true", help="end once no client is connected, or a window serves in its place"
    )


class _Settings:
    """The settings, with `--ask` in the place of what is stored."""

    def __init__(self, stored: ApprovalSettings, ask: str | None) -> None:
        self._stored = stored
        self._ask = ask

    def get(self, key: str, default: Any = None) -> Any:
        """See `ApprovalSettings`."""
        return self._ask if key == HEADLESS_SETTING and self._ask else self._stored.get(key, default)


async def serve(options: argparse.Namespace) -> int:
    """Serve MCP clients until a signal, or until nobody uses it. Raises `ServerTrouble` when it cannot start."""
    async with services_of(options, role="proxy", long_lived=True) as services:
        notice = BrowserNotice(lambda: services.sign_ins, services.folder / FOLDER, say)
        settings = _Settings(services.storage.settings, options.ask)
        proxy = ProxyService(services, Role.HEADLESS, notice, port=options.port, settings=settings)
        proxy.changed.subscribe(lambda status: _show(status, json=options.json))
        account = asyncio.create_task(_connect(services, options))
        try:
            await proxy.start()
            await until_over(proxy, while_used=options.while_used)
        except asyncio.CancelledError:
            # A signal is the usual end of it, and no failure.
            if interruption.number is None:
                raise
        finally:
            account.cancel()
            await asyncio.gather(account, return_exceptions=True)
            await to_the_end(proxy.close())
            await notice.close()
    return 0


async def until_over(proxy: ProxyService, *, while_used: bool) -> None:
    """Wait until nobody uses it, with `while_used`. Raises `ServerTrouble` when it serves no more."""
    changed = asyncio.Event()
    unsubscribe = proxy.changed.subscribe(lambda _status: changed.set())
    try:
        while proxy.status.state is not ProxyState.FAILED:
            changed.clear()
            if not while_used:
                await changed.wait()
            elif proxy.unused_seconds > UNUSED_SECONDS:
                log.info("nobody uses the proxy")
                return
            else:
                await asyncio.sleep(LOOK_SECONDS)
    finally:
        unsubscribe()
    raise ServerTrouble(proxy.status.trouble, action="Its log is burrow.log in the data folder.")


async def _connect(services: Services, options: argparse.Namespace) -> None:
    """Open the account of the last start. Without one, the user's own servers are served all the same."""
    while True:
        try:
            await connect(services, options)
        except SignInNeeded:
            log.info("no account was chosen yet")
        except BurrowError as failure:
            say(f"burrow: {failure.title}: {failure.cause}")
            if failure.retryable:
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
        return


def _owner(status: ProxyStatus) -> str:
    named = {Role.WINDOW: "A window of Burrow", Role.HEADLESS: "Another burrow proxy"}
    who = named.get(status.owner, "Another Burrow") if status.owner else "Another Burrow"
    return f"{who} (process {status.pid})" if status.pid else who


def _show(status: ProxyStatus, *, json: bool) -> None:
    """One line for each state that lasts."""
    if json:
        data(
            {
                "state": status.state.value,
                "address": status.address,
                "port": status.port,
                "trouble": status.trouble or None,
            }
        )
        return
    words = {
        ProxyState.SERVING: f"Serving MCP clients on {status.address}",
        ProxyState.PORT_TAKEN: f"Serving MCP clients on {status.address}",
        ProxyState.STANDING_BY: f"{_owner(status)} serves MCP clients on {status.address}; this one stands by",
    }.get(status.state)
    if words is not None:
        line(words)
        if status.trouble:
            say(f"burrow: {status.trouble}")
