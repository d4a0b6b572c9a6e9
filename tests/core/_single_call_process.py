"""One process that runs a tool once: `python -m tests.core._single_call_process FOLDER`.

It uses the workspace that is running for the data folder. It says `ready`, waits for a line, begins the call, and says
`allowed` once the tool is allowed for it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from app.core.backend import Backend
from app.core.services import Services

MESSAGE = {"mailbox": "hello", "to": ["a@b.example"], "subject": "s", "body": "b"}


async def main() -> None:
    services = Services(Path(sys.argv[1]))
    backend = await services.connect(await services.start_workspace())
    await backend.ready()
    server = next(each for each in await services.servers.list() if each.title == "Postbox")
    await services.servers.tools(server.id)
    await _say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    call = services.servers.start_call(server.id, "send_message", MESSAGE, once=True)
    while not await _is_allowed(backend, server.id):  # noqa: ASYNC110 - the store tells nobody
        await asyncio.sleep(0.02)
    await _say("allowed")
    await call.result()
    await services.close()


async def _is_allowed(backend: Backend, server_id: str) -> bool:
    tools = await backend.store.tools(server_id)
    return any(tool.tool_name == "send_message" and tool.approval_state == "approved" for tool in tools)


async def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
