"""`burrow connect`: the MCP clients of this machine that may use the local proxy, and what each of them may use."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from app.cli import shim
from app.cli.common import connect, secret_of, server_called, services_of
from app.cli.terminal import column, data, line, printable, say
from app.core.data_folder import DATA_VARIABLE, data_folder
from app.core.errors import BurrowError, NotFound, Rejected
from app.core.mcp.programs.program import OfferedServer, Via
from app.core.mcp.programs.snippets import NO_KEY, Snippet, snippet
from app.core.mcp.programs.table import PROGRAMS
from app.core.mcp.proxy.clients import ProxyClients
from app.core.mcp.proxy.keys import is_key
from app.core.mcp.proxy.parts import ToolRule

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
    from pathlib import Path

    from app.core.mcp.programs.program import Program
    from app.core.mcp.proxy.clients import KnownClient
    from app.core.services import Services

NO_RULE = "default"


def add_arguments(group: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """The actions of `burrow connect`."""
    program_ids = [program.id for program in PROGRAMS]
    new = add(group, "add", add_client, "Give an MCP client a key, which is shown once.", acts=True)
    new.add_argument("name", help="what to call it here")
    new.add_argument("--program", choices=program_ids, metavar="ID", help=f"what it is: {', '.join(program_ids)}")
    _add_servers(new, "it may use only this server; may be repeated; all servers by default")
    add(group, "list", list_clients, "List the clients, when they were last used, and what they may use.")
    revoke = add(group, "revoke", revoke_client, "Take a client's access away for good.", acts=True)
    key = add(group, "key", renew_key, "Give a client another key; the one before stops working.", acts=True)
    rule = add(group, "rule", set_rule, "Decide about a tool for one client. What the server blocks stays blocked.")
    servers = add(group, "servers", choose_servers, "Show or choose the servers that a client may use.")
    for command in (revoke, key, rule, servers):
        command.add_argument("client", help="its name or id")
    rule.add_argument("server", help="the server's id or title")
    rule.add_argument("tool", help="the tool's name")
    rule.add_argument("rule", choices=[*(each.value for each in ToolRule), NO_RULE])
    servers.add_argument("servers", nargs="*", metavar="SERVER", help="id or title of each server that it may use")
    servers.add_argument("--all", action="store_true", help="let it use every server, also those added later")
    text = add(group, "snippet", show_snippet, "Show the text that connects a program.")
    text.add_argument("program", choices=program_ids, metavar="PROGRAM", help=", ".join(program_ids))
    text.add_argument("--client", metavar="NAME", help="the client that the program is")
    text.add_argument("--via", choices=[via.value for via in Via], help="over HTTP with a key, or through a command")
    text.add_argument("--key", choices=["-"], help="read the client's key from standard input and put it in")
    pipes = add(group, "stdio", serve_pipes, "Serve one server on standard input and output, as programs start it.")
    shim.add_arguments(pipes)
    _add_servers(text, "only this server; may be repeated; all that the client may use by default")


async def add_client(options: argparse.Namespace) -> int:
    """Add a client and show its key, the only time that it is known."""
    async with _clients(options) as (services, clients):
        chosen = None if options.server is None else await _offered(services, options, options.server)
        ids = None if chosen is None else [server.id for server in chosen]
        client, key = await clients.create(options.name, options.program or "", ids)
        address = _address(services)
        if options.json:
            data({**_record(clients.called(client.id)), "key": key, "address": f"{address}/mcp/SERVER"})
            return 0
        # Before anything that may fail: there is no other way to learn it.
        line(key)
        say(f"{client.name} may use {_words(client.servers)}. This is its key; it is not shown again.")
        program = next((each for each in PROGRAMS if each.id == options.program), None)
        if program is not None:
            offered = (await _listed(services, options))[0] if chosen is None else chosen
            if offered:
                _show(snippet(program, offered, address, key, client=client.id, data=_folder(services, options)))
                return 0
        say(f"Send it as a header, “Authorization: Bearer KEY”, to {address}/mcp/SERVER.")
        say("The ids of servers: burrow mcp servers. The text for a program: burrow connect snippet PROGRAM")
    return 0


async def list_clients(options: argparse.Namespace) -> int:
    """List the clients that have access, then those that had it."""
    async with _clients(options) as (_, clients):
        found = sorted(clients.clients, key=lambda known: known.revoked_at is not None)
        if options.json:
            data([_record(known) for known in found])
            return 0
        for known in found:
            used = (
                "never used" if known.last_used is None else f"{_count(known.calls)}, last {_moment(known.last_used)}"
            )
            state = used if known.revoked_at is None else f"revoked {_moment(known.revoked_at)}; {used}"
            agent = printable(known.agent or known.client.program or "-")
            line(f"{column(known.client.name, 24)} {agent:<24} {state:<40} {_words(known.client.servers)}")
        if not found:
            say("No client has a key yet. Add one: burrow connect add NAME")
    return 0


async def revoke_client(options: argparse.Namespace) -> int:
    """Take a client's access away."""
    async with _clients(options) as (_, clients):
        known = clients.called(options.client)
        await clients.revoke(known.client.id)
        say(f"{printable(known.client.name)} has no access any more. A proxy that runs refuses it within a second.")
    return 0


async def renew_key(options: argparse.Namespace) -> int:
    """Give a client another key."""
    async with _clients(options) as (_, clients):
        known = clients.called(options.client)
        key = await clients.renew_key(known.client.id)
        if options.json:
            data({**_record(clients.called(known.client.id)), "key": key})
            return 0
        line(key)
        say(f"This is the key of {printable(known.client.name)} from now on; it is not shown again.")
    return 0


async def set_rule(options: argparse.Namespace) -> int:
    """Decide about a tool for one client."""
    async with _clients(options) as (services, clients):
        known = clients.called(options.client)
        [server] = await _offered(services, options, [options.server])
        rule = None if options.rule == NO_RULE else ToolRule(options.rule)
        await clients.set_rule(known.client.id, server.id, options.tool, rule)
        if options.json:
            data(_record(clients.called(known.client.id)))
        else:
            what = f"{printable(options.tool)} of {printable(server.title)}"
            then = "the server's policy alone decides" if rule is None else options.rule
            say(f"{printable(known.client.name)}, {what}: {then}.")
    return 0


async def choose_servers(options: argparse.Namespace) -> int:
    """Show or choose the servers that a client may use."""
    if options.all and options.servers:
        raise Rejected("--all lets it use every server.", action="Give servers, or --all.")
    async with _clients(options) as (services, clients):
        known = clients.called(options.client)
        if options.all or options.servers:
            chosen = None if options.all else [each.id for each in await _offered(services, options, options.servers)]
            await clients.choose_servers(known.client.id, chosen)
            known = clients.called(known.client.id)
        servers = known.client.servers
        if options.json:
            data(None if servers is None else sorted(servers))
        else:
            line("all" if servers is None else "\n".join(sorted(servers)))
    return 0


async def show_snippet(options: argparse.Namespace) -> int:
    """Show the text that connects a program to the proxy."""
    key = secret_of(options.key, "Key") or ""
    if key and not is_key(key):
        raise Rejected("Standard input has no key of a client.", action="A new one: burrow connect key NAME")
    program = next(each for each in PROGRAMS if each.id == options.program)
    via = _via(program, options.via)
    async with _clients(options) as (services, clients):
        known = None if options.client is None else clients.called(options.client)
        if via is Via.STDIO and known is None:
            raise Rejected(f"{program.title} starts a command for a client.", action="Name the client: --client NAME")
        offered = await _offered(services, options, options.server or _chosen(known))
        address, folder = _address(services), _folder(services, options)
        client = "" if known is None else known.client.id
        text = snippet(program, offered, address, key, client=client, data=folder, via=via)
        if options.json:
            data({"text": text.text, "language": text.language, "note": text.note})
        else:
            _show(text)
        if via is Via.HTTP and not key:
            say(f"Put the client's key in the place of {NO_KEY}. A new one: burrow connect key NAME")
    return 0


async def serve_pipes(options: argparse.Namespace) -> int:
    """Serve a server of the proxy on standard input and output."""
    await shim.run(data_folder(options.data), options.client, options.server)
    return 0


@asynccontextmanager
async def _clients(options: argparse.Namespace) -> AsyncIterator[tuple[Services, ProxyClients]]:
    async with services_of(options) as services:
        clients = ProxyClients(services.storage.proxy_clients)
        await clients.start()
        try:
            yield services, clients
        finally:
            await clients.close()


async def _listed(
    services: Services, options: argparse.Namespace
) -> tuple[tuple[OfferedServer, ...], BurrowError | None]:
    """Every server that is known, and why those of the account are not, if they are not."""
    failure: BurrowError | None = None
    try:
        await (await connect(services, options)).ready()
    except BurrowError as caught:
        # Without a host there is no account whose servers are missing.
        failure = None if services.backend is None else caught
    try:
        servers = await services.servers.list()
    except BurrowError as caught:
        return (), failure or caught
    return tuple(OfferedServer(server.id, server.title) for server in servers), failure


async def _offered(
    services: Services, options: argparse.Namespace, named: Collection[str] | None
) -> tuple[OfferedServer, ...]:
    """The servers that are called so, all of them for None.

    Raises `NotFound` for one that is not there, and for one that may be the account's why those cannot be listed.
    """
    servers, failure = await _listed(services, options)
    if named is None:
        if failure is not None and not servers:
            raise failure
        return servers
    return tuple(dict.fromkeys(_match(servers, each, failure) for each in named))


def _match(servers: Sequence[OfferedServer], named: str, failure: BurrowError | None) -> OfferedServer:
    found = server_called(servers, named)
    if found is None:
        raise failure or NotFound(f"There is no server {named}.", action="List them with: burrow mcp servers")
    return found


def _chosen(known: KnownClient | None) -> frozenset[str] | None:
    return None if known is None else known.client.servers


def _via(program: Program, named: str | None) -> Via:
    via = program.vias[0] if named is None else Via(named)
    if via not in program.vias:
        raise Rejected(
            f"{program.title} does not take servers that way.",
            action=f"Leave it out, or: --via {program.vias[0].value}",
        )
    return via


def _address(services: Services) -> str:
    from app.core.mcp.proxy.service import PORT_SETTING, USUAL_PORT

    return f"http://127.0.0.1:{services.storage.settings.get(PORT_SETTING, USUAL_PORT)}"


def _folder(services: Services, options: argparse.Namespace) -> Path | None:
    """Burrow's folder, if the program that starts the command would not find it by itself."""
    return services.folder if options.data is not None or os.environ.get(DATA_VARIABLE) else None


def _add_servers(command: argparse.ArgumentParser, about: str) -> None:
    command.add_argument("--server", action="append", metavar="SERVER", help=about)


def _show(text: Snippet) -> None:
    line(text.text.rstrip("\n"))
    say(text.note)


def _words(servers: Iterable[str] | None) -> str:
    return "all servers" if servers is None else printable(", ".join(sorted(servers)) or "no server")


def _count(calls: int) -> str:
    return "1 call" if calls == 1 else f"{calls} calls"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M}"


def _record(known: KnownClient) -> dict[str, Any]:
    client = known.client
    return {
        "id": client.id,
        "name": client.name,
        "program": client.program or None,
        "agent": known.agent or None,
        "state": "active" if known.revoked_at is None else "revoked",
        "servers": None if client.servers is None else sorted(client.servers),
        "created_at": known.created_at,
        "revoked_at": known.revoked_at,
        "last_used": known.last_used,
        "calls": known.calls,
        "use": [
            {"server": use.server, "calls": use.calls, "last_used": use.last_used, "agent": use.agent or None}
            for use in known.use
        ],
        "rules": [
            {"server": server, "tool": tool, "rule": rule.value} for (server, tool), rule in sorted(known.rules.items())
        ],
    }
