"""`burrow mcp add` and `burrow mcp remove`: the user's own servers, which every account and the local proxy see."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from app.cli.common import server_called, services_of
from app.cli.terminal import data, line, printable, say
from app.core.errors import Facts, NotFound, Rejected
from app.core.mcp.servers.definitions import HttpServer, SseServer, StdioServer
from app.core.mcp.servers.typed import is_same_process, typed_process

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from app.core.mcp.servers.definitions import OwnServer


def add_arguments(group: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add both commands to the group `mcp`."""
    new = add(group, "add", add_server, "Add a server of your own. It is kept in the data folder.", acts=True)
    which = new.add_mutually_exclusive_group(required=True)
    which.add_argument("--url", help="its address, for streamable HTTP")
    which.add_argument("--sse", metavar="URL", help="its address, for HTTP+SSE of MCP 2024-11-05")
    which.add_argument("--stdio", metavar="COMMAND", help="the command that starts it on its pipes")
    new.add_argument("--title", help="what to call it")
    new.add_argument("--folder", metavar="DIR", help="with --stdio: the folder to start it in")
    new.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="with --stdio: a variable of its environment; without a value, that of this one, which keeps a secret out "
        "of the process list. May be given several times",
    )
    new.add_argument("--shared", action="store_true", help="with --stdio: one process for all clients of the proxy")
    remove = add(group, "remove", remove_server, "Remove a server of your own, and end its sign-in.", acts=True)
    remove.add_argument("server", metavar="SERVER", help="its id or title")


async def add_server(options: argparse.Namespace) -> int:
    """Keep a server of the user's own."""
    server = await _described(options)
    async with services_of(options) as services:
        own = services.own_servers
        await own.definitions()
        same = next((each for each in own.servers if _is_same(each, server)), None)
        if same is not None:
            raise Rejected(f"You already added it: {same.title} ({same.id}).", action="Remove that one first.")
        kept = await own.add(server)
    if options.json:
        data({"id": kept.id, "title": kept.title})
    else:
        line(f"{kept.id:<38} {printable(kept.title)}")
        if isinstance(kept, HttpServer):
            say(f"burrow: If it asks for a sign-in, run: burrow login --url {printable(kept.url)}")
    return 0


async def remove_server(options: argparse.Namespace) -> int:
    """Forget a server of the user's own."""
    async with services_of(options) as services:
        await services.own_servers.definitions()
        server = server_called(services.own_servers.servers, options.server)
        if server is None:
            raise NotFound(
                f"There is no server {options.server} of your own.",
                action="List them with: burrow mcp servers. Those of an account are removed in the window.",
            )
        await services.own_servers.remove(server.id)
    if options.json:
        data({"id": server.id, "title": server.title})
    else:
        say(f"burrow: {printable(server.title)} was removed.")
    return 0


async def _described(options: argparse.Namespace) -> OwnServer:
    """The server of the command line. Raises `Rejected`."""
    if options.stdio is not None:
        lines = [_with_value(given) for given in options.env]
        return await asyncio.to_thread(
            typed_process,
            options.title or "",
            options.stdio,
            folder=options.folder or "",
            environment=lines,
            shared=options.shared,
        )
    given = [name for name in ("folder", "env", "shared") if getattr(options, name)]
    if given:
        raise Rejected(f"--{given[0]} is for a process.", action="Leave it out, or give --stdio.")
    kind, url = (SseServer, options.sse) if options.sse is not None else (HttpServer, options.url)
    return kind("", options.title or url, url)


def _with_value(given: str) -> str:
    """A variable with its value. Raises `Rejected` when it has none here."""
    if "=" in given:
        return given
    value = os.environ.get(given)
    if value is None:
        raise Rejected(f"{given} has no value here.", Facts(attr="environment"), action=f"Give --env {given}=VALUE.")
    return f"{given}={value}"


def _is_same(kept: OwnServer, new: OwnServer) -> bool:
    if isinstance(new, StdioServer):
        return is_same_process(new, kept)
    return isinstance(kept, HttpServer) and kept.kind == new.kind and kept.url == new.url.strip()
