"""The MCP servers of a run in the foreground: through the local proxy of this process, or the one that serves already.

The calls that ask are answered on the terminal while this process serves, by the window while that does.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from app.cli.keys import has_keys
from app.cli.local_asks import choose
from app.cli.signals import to_the_end
from app.cli.terminal import printable, say
from app.core.errors import BurrowError
from app.core.mcp.json_text import write_json
from app.core.mcp.proxy.handover import Role
from app.core.mcp.proxy.parts import Decision
from app.core.mcp.proxy.service import FOLDER, ProxyService, ProxyState
from app.core.mcp.proxy.sign_in_notices import BrowserNotice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.core.mcp.proxy.approvals import ApprovalQuestion, Approvals
    from app.core.services import Services

# How long is waited for the proxy and for the list of the servers, each.
SECONDS = 10.0
ANSWERS = (
    ("Allow it once", Decision.ONCE),
    ("Allow this tool until the agent ends", Decision.SESSION),
    ("Refuse it", Decision.REFUSE),
)


@asynccontextmanager
async def served(services: Services, *, wanted: bool) -> AsyncIterator[Approvals | None]:
    """Have a proxy for the runs of `services`, as long as this lasts. What keeps it away is said, and the run goes on
    without servers.

    Gives the calls that ask, where there is somebody on the terminal who can answer.
    """
    if not wanted:
        yield None
        return
    notice = BrowserNotice(lambda: services.sign_ins, services.folder / FOLDER, say)
    proxy = ProxyService(services, Role.HEADLESS, notice)
    services.headless_proxy = proxy
    try:
        proxy.approvals.attended = has_keys()
        await asyncio.gather(proxy.start(), _list(services))
        await _settled(proxy)
        if not proxy.status.address:
            why = proxy.status.trouble or "The local proxy did not start in time."
            say(f"The agent gets no MCP servers: {why}")
        yield proxy.approvals if proxy.approvals.attended else None
    finally:
        services.headless_proxy = None
        # The key of the run is revoked by now, so nobody waits for the port.
        await to_the_end(proxy.stop(keep=False))
        await to_the_end(proxy.close())
        await notice.close()


async def ask_about(approvals: Approvals, question: ApprovalQuestion) -> None:
    """Ask whether a tool may be called."""
    claim = " It may destroy something." if question.destroys else ""
    name = printable(question.tool_title or question.tool)
    say(f"{printable(question.client.name)} wants to call {name} of {printable(question.server_title)}.{claim}")
    say(write_json(question.arguments))
    number = await choose([words for words, _decision in ANSWERS])
    await approvals.answer(question, ANSWERS[number][1])


async def _list(services: Services) -> None:
    """Find out which servers there are."""
    try:
        async with asyncio.timeout(SECONDS):
            await services.servers.list()
    except TimeoutError:
        say("Not all MCP servers are known: they could not be listed in time.")
    except BurrowError as failure:
        say(f"Not all MCP servers are known: {failure.cause}")


async def _settled(proxy: ProxyService) -> None:
    """Wait until it is known whether there is a proxy."""
    changed = asyncio.Event()
    unsubscribe = proxy.changed.subscribe(lambda _status: changed.set())
    try:
        async with asyncio.timeout(SECONDS):
            while proxy.status.state is ProxyState.STARTING or (
                proxy.status.state is ProxyState.STANDING_BY and not proxy.status.address
            ):
                await changed.wait()
                changed.clear()
    except TimeoutError:
        return
    finally:
        unsubscribe()
