"""A process that takes part in the proxy's port: `FOLDER ROLE NUMBER PATIENCE KEEP`, the last two in seconds.

Says each status as a line of output.

Answers each connection with its name. Reads commands from standard input: `stop` (keep the port), `leave`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from app.core.mcp.proxy import port as port_module
from app.core.mcp.proxy.handover import Role
from app.core.mcp.proxy.listeners import Listeners
from app.core.mcp.proxy.port import Acceptor, PortStatus, ProxyPort


def say(**what: object) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


async def main() -> None:
    port_module.LOOK_AFTER_SECONDS = 0.1
    port_module.PATIENCE_SECONDS = float(sys.argv[4])
    folder, role, number = Path(sys.argv[1]), Role(sys.argv[2]), int(sys.argv[3])
    servers: list[asyncio.Server] = []

    in_flight: set[asyncio.Task[object]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        in_flight.add(task)
        task.add_done_callback(in_flight.discard)
        await reader.readuntil(b"\r\n\r\n")
        body = f"{os.getpid()}".encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()
        await writer.wait_closed()

    async def accept(listeners: Listeners) -> None:
        servers[:] = [await asyncio.start_server(answer, sock=each.dup()) for each in listeners]

    async def release(seconds: float) -> None:
        for server in servers:
            for each in server.sockets:
                asyncio.get_running_loop().remove_reader(each.fileno())
        # A connection that was accepted has its transport in the first of these turns, its protocol in the second, and
        # its task in the third.
        for _turn in range(3):
            await asyncio.sleep(0)
        for server in servers:
            server.close()
        servers.clear()
        if in_flight:
            await asyncio.wait(in_flight, timeout=seconds)

    async def choose(_number: int) -> bool:
        return False

    def changed(status: PortStatus) -> None:
        owner = None if status.owner is None else status.owner.value
        say(state=status.state.value, number=status.number, taken=status.taken, owner=owner, trouble=status.trouble)

    acceptor, keep = Acceptor(accept, release), float(sys.argv[5])
    port = ProxyPort(folder, role, number, acceptor, choose=choose, changed=changed, keep_seconds=keep)
    port.start()
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    command = (await commands.readline()).decode().strip()
    await port.stop(drain=10.0, keep=command == "stop")


asyncio.run(main())
