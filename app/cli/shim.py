"""`burrow connect stdio CLIENT`: what a program starts to use a server of the proxy through standard input and output.

The key is made at the start and known to this process alone; what is stored is its hash, with a lease that ends with
the process. So no secret is in a configuration, an argument, the environment or a file.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from app.core.data_folder import data_folder
from app.core.errors import BurrowError, NotFound, Rejected, StorageTrouble
from app.core.mcp.programs.shim_command import burrow_command
from app.core.mcp.proxy.http.sender import DirectSender
from app.core.mcp.proxy.keys import hash_of, new_key
from app.core.mcp.proxy.shim.channel import SessionChannel
from app.core.mcp.proxy.shim.pipes import Lines, LineWriter
from app.core.mcp.proxy.shim.reach import Reach
from app.core.mcp.proxy.shim.session import ShimSession
from app.core.storage import Storage
from app.core.storage.lease import LOCKS_FOLDER, Lease
from app.core.storage.proxy_clients import LOCK_PREFIX, StoredClients, client_called

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from pathlib import Path

    from app.core.storage.proxy_clients import ClientRow

SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if os.name != "nt" else ()))
# How long the end may take to give the key back. One that stays is deleted by the next shim.
RETURN_SECONDS = 1.0
# How long a program that sends no more may take to read the last answers.
WRITTEN_SECONDS = 1.0


def main(arguments: Sequence[str]) -> int:
    """Run the shim; returns the exit code."""
    parser = argparse.ArgumentParser(prog="burrow connect stdio")
    add_arguments(parser)
    parser.add_argument("--data", metavar="DIR", help="the folder for all data (also BURROW_DATA)")
    options = parser.parse_args(arguments)
    ended_by: list[int] = []

    async def serve() -> None:
        serving = asyncio.current_task()
        loop = asyncio.get_running_loop()
        assert serving is not None

        def end(number: int, _frame: object) -> None:
            if not ended_by:
                loop.call_soon_threadsafe(serving.cancel)
            ended_by.append(number)

        for number in SIGNALS:
            signal.signal(number, end)
        await run(data_folder(options.data), options.client, options.server)

    try:
        asyncio.run(serve())
    except asyncio.CancelledError:
        return 128 + ended_by[0] if ended_by else 1
    except BurrowError as failure:
        say(f"{failure.title}: {failure.cause}")
        say(failure.advice)
        return failure.exit_code
    return 0


def add_arguments(command: argparse.ArgumentParser) -> None:
    """What says which client and server it is for."""
    command.add_argument("client", help="the client's name or id")
    command.add_argument("--server", metavar="ID", help="the id of the server; may be left out if it may use only one")


async def run(folder: Path, name: str, server: str | None) -> None:
    """Serve until standard input ends. Raises `BurrowError`."""
    lease = Lease(folder / LOCKS_FOLDER, LOCK_PREFIX)
    key = new_key()
    client = await _lend(folder, name, key, lease)
    try:
        await _serve(folder, _server(client, server), key)
    finally:
        with contextlib.suppress(TimeoutError, StorageTrouble):
            async with asyncio.timeout(RETURN_SECONDS):
                await _return(folder, key)
        lease.release()


async def _serve(folder: Path, server: str, key: str) -> None:
    serving = asyncio.current_task()
    assert serving is not None
    # Nothing but messages may get to the program, whatever a library prints.
    output = os.dup(1)
    os.dup2(2, 1)
    command = (*burrow_command(), "proxy", "--while-used", "--data", str(folder))
    reach = Reach(folder, command, may_start=lambda: _may_start(folder))
    sender = DirectSender(_no_tls)
    gone = asyncio.Event()
    writer = LineWriter(output, gone.set)
    session = ShimSession(SessionChannel(reach, sender, server, key), writer, say)
    carrying = asyncio.create_task(session.run(Lines(0)))
    leaving = asyncio.create_task(gone.wait())
    try:
        await asyncio.wait([carrying, leaving], return_when=asyncio.FIRST_COMPLETED)
        if carrying.done():
            carrying.result()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITTEN_SECONDS):
                    await writer.written()
    finally:
        for task in (carrying, leaving):
            task.cancel()
        await asyncio.gather(carrying, leaving, return_exceptions=True)
        await session.end()
        await reach.close()
        await sender.close()
        writer.close()


async def _lend(folder: Path, name: str, key: str, lease: Lease) -> ClientRow:
    """Let the client that is called so use a key. Raises `NotFound`, `StorageTrouble`."""
    storage = Storage.open(folder)
    try:
        stored: StoredClients = storage.proxy_clients
        client = client_called((await stored.all()).clients, name)
        if client is None or not await stored.lend_key(client.id, hash_of(key), lease.take(), time.time()):
            words = f"No client of Burrow is called {name}, or it was revoked."
            raise NotFound(words, action="Add it in Burrow under Connect, or run: burrow connect add NAME")
    finally:
        await storage.close()
    return client


async def _return(folder: Path, key: str) -> None:
    storage = Storage.open(folder)
    try:
        await storage.proxy_clients.return_key(hash_of(key))
    finally:
        await storage.close()


async def _may_start(folder: Path) -> bool:
    """Whether the user has not switched the proxy off."""
    from app.core.mcp.proxy.service import ENABLED_SETTING

    try:
        storage = Storage.open(folder)
    except StorageTrouble:
        # Who is started says what is wrong.
        return True
    enabled = storage.settings.get(ENABLED_SETTING, True) is not False
    await storage.close()
    return enabled


def _server(client: ClientRow, named: str | None) -> str:
    if named is not None and not (named and named.isprintable()):
        raise Rejected("This is no id of a server.", action="List them: burrow mcp servers")
    if named is not None:
        return named
    if client.servers is not None and len(client.servers) == 1:
        return client.servers[0]
    raise Rejected(
        f"{client.name} may use several servers.", action="Name one: --server ID. List them: burrow mcp servers"
    )


def say(words: str) -> None:
    """Tell the user something. Programs show or log what a server writes to standard error."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"burrow: {' '.join(words.split())}\n")
        sys.stderr.flush()


def _no_tls() -> ssl.SSLContext:
    raise AssertionError("the proxy is on this machine, without TLS")
