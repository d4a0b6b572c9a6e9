"""`burrow mcp`: servers, their tools, and calls, over any way that a server is reached."""

from __future__ import annotations

import asyncio
import shlex
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from app.cli.common import called_so, connect, server_called, services_of
from app.cli.pasted import can_paste, pasted_lines
from app.cli.terminal import column, data, line, printable, read_text, say
from app.core.errors import BurrowError, NotFound, Rejected, SignInNeeded, VendorSignInNeeded
from app.core.mcp.forms.mismatch import mismatch
from app.core.mcp.json_text import NotJson, parse_json, write_json
from app.core.mcp.results.blocks import LinkBlock, ResourceBlock, TextBlock
from app.core.mcp.servers.definitions import HttpServer, SseServer, StdioServer

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Iterable, Sequence

    from app.core.mcp.results.blocks import CallResult, Progress
    from app.core.mcp.servers.definitions import OwnServer
    from app.core.mcp.servers.registry import Servers
    from app.core.mcp.servers.server import Server
    from app.core.mcp.tools import ToolInfo
    from app.core.services import Services

FAILED = 1


class Chosen(NamedTuple):
    """The server that a command is for, and the list that it is in."""

    servers: Servers
    server: Server


async def list_servers(options: argparse.Namespace) -> int:
    """List the servers of the account and the user's own, which are listed even while the account is signed out."""
    async with services_of(options) as services:
        failure = await _sign_in_failure(services, options)
        servers = await services.servers.list(refresh=True)
        if failure is not None and not servers:
            raise failure
        if options.json:
            data([_record(server) for server in servers])
        else:
            for server in servers:
                line(f"{server.id:<38} {server.state.value:<20} {printable(server.title)}")
        # Without a host there is no account whose servers are missing.
        if failure is None or services.backend is None:
            return 0
        say(f"burrow: {failure.title}: {failure.cause}")
        return failure.exit_code


async def list_tools(options: argparse.Namespace) -> int:
    """List the tools of a server."""
    named = _named(options, options.server, "SERVER")
    async with _chosen(options, named[0] if named else None) as (servers, server):
        tools = await servers.tools(server.id, refresh=True)
        if options.json:
            data([{**tool.raw, "policy": tool.policy, "problem": tool.problem} for tool in tools])
        else:
            for tool in tools:
                words = tool.description.splitlines()
                line(f"{column(tool.name, 32)} {tool.policy or '-':<16} {printable(words[0] if words else '')}")
                if tool.problem is not None:
                    line(f"{'':<32} {'problem':<16} {printable(tool.problem)}")
        _say_note(servers, server)
    return 0


async def call(options: argparse.Namespace) -> int:
    """Call a tool and show what it answers; exit code 1 when the tool says that it failed."""
    arguments = _arguments(options.args)
    *named, name = _named(options, options.names, "SERVER", "TOOL")
    async with _chosen(options, named[0] if named else None) as (servers, server):
        tool = await _listed(servers, server, name)
        if tool is not None and tool.annotations.may_destroy and not options.yes:
            await _ask(server, tool, arguments, options)
        # The list may be older than the tool: what the server does not have, it refuses itself.
        running = servers.start_call(server.id, name if tool is None else tool, arguments)
        running.progress.subscribe(_show_progress)
        # Ctrl+C cancels this, and with it the call, at the server too.
        result = await running.result()
        _show_result(result, options)
        if tool is not None and tool.output_schema is not None and not result.is_error:
            for problem in await asyncio.to_thread(mismatch, tool.output_schema, result.structured):
                where = printable(problem.path or "as a whole")
                say(f"burrow: The result does not match the tool's outputSchema, {where}: {printable(problem.message)}")
        return FAILED if result.is_error else 0


async def _listed(servers: Servers, server: Server, name: str) -> ToolInfo | None:
    """What the server says about a tool; None when it does not list it, or cannot be asked.

    A list from before is enough if the tool is in it.
    """
    for refresh in (False, True):
        try:
            tools = await servers.tools(server.id, refresh=refresh)
        except BurrowError:
            # The call will fail for the same reason, or not need the list.
            return None
        found = next((tool for tool in tools if tool.name == name), None)
        if found is not None:
            return found
    return None


async def _ask(server: Server, tool: ToolInfo, arguments: dict[str, Any], options: argparse.Namespace) -> None:
    """Ask whether to call a tool that is claimed to destroy. Raises `Rejected` without a yes."""
    claim = f"{printable(tool.name)} of {printable(server.title)} says that it may destroy something."
    if options.args == "-" or not can_paste():
        raise Rejected(f"{claim} It was not called.", action="Add --yes to call it without a question.")
    say(f"{claim} Its arguments:")
    say(write_json(arguments))
    say("Type yes to call it, or no:")
    lines: asyncio.Queue[str] = asyncio.Queue()
    with pasted_lines(lines.put_nowait):
        answer = await lines.get()
    if answer.casefold() != "yes":
        raise Rejected(f"{printable(tool.name)} was not called.", action="Type yes, or add --yes, to call it.")


def _say_note(servers: Servers, server: Server) -> None:
    """Say what is odd about the server's list of tools."""
    note = next((each.tools_note for each in servers.listed if each.id == server.id), "")
    if note:
        say(f"burrow: {note}")


def _named(options: argparse.Namespace, names: Sequence[str], *wanted: str) -> list[str]:
    """The names on the command line; without that of the server where `--url` or `--stdio` says which it is.

    Ends the command with its usage when there are more or fewer.
    """
    # `nargs` cannot say that SERVER is needed only without --url and --stdio.
    described = options.url is not None or options.stdio is not None
    needed = wanted[1:] if described else wanted
    if len(names) != len(needed):
        options.fail(f"give {' and '.join(needed)}" if needed else "give no SERVER besides --url or --stdio")
    return list(names)


@asynccontextmanager
async def _chosen(options: argparse.Namespace, named: str | None) -> AsyncIterator[Chosen]:
    """The server that `--url` or `--stdio` describes, else the one that is called so."""
    async with services_of(options) as services:
        if named is None:
            chosen = await _described(services, options)
        else:
            own = await services.own_servers.definitions()
            if not called_so(own, named):
                # An own server needs no account, and must not wait for one.
                await (await connect(services, options)).ready()
            servers = services.servers
            chosen = Chosen(servers, _found(await servers.list(refresh=True), named))
        try:
            yield chosen
        except (SignInNeeded, VendorSignInNeeded) as failure:
            # The advice of the error is for the window. Here one command signs in, so it is no vendor's sign-in.
            if not isinstance(chosen.server.definition, HttpServer):
                raise
            action = f"Run: burrow login --url {chosen.server.url}"
            raise SignInNeeded(failure.cause, failure.facts, action=action) from None


async def _described(services: Services, options: argparse.Namespace) -> Chosen:
    """The server of `--url` or `--stdio`: one that the user added at that address, with its sign-in, else a new one.

    A new one is not kept.
    """
    from app.core.mcp.servers.own_source import NamedServers

    own = services.own_servers
    await own.definitions()
    kept = None if options.url is None else own.find(options.url, options.account or "")
    servers = services.servers
    servers.set_sources((own,) if kept is not None else (NamedServers((_definition(options),)),))
    listed = await servers.list(refresh=True)
    return Chosen(servers, next(server for server in listed if kept is None or server.id == kept.id))


def _definition(options: argparse.Namespace) -> OwnServer:
    """The server that the command line describes. Raises `Rejected` for what describes none."""
    from app.core.auth.oauth.discovery import check_server_address

    if options.url is not None:
        url = check_server_address(options.url)
        return (SseServer if options.transport == "sse" else HttpServer)("url", url, url)
    try:
        command = tuple(shlex.split(options.stdio))
    except ValueError as problem:
        raise Rejected(f"--stdio is not a command: {problem}.", action="Quote it as for a shell.") from None
    if not command:
        raise Rejected("--stdio is empty.", action="Give the command that starts the server.")
    return StdioServer("stdio", command[0], command)


async def _sign_in_failure(services: Services, options: argparse.Namespace) -> BurrowError | None:
    """Why the account's servers cannot be listed."""
    try:
        await (await connect(services, options)).ready()
    except BurrowError as failure:
        return failure
    return None


def _found(servers: Iterable[Server], named: str) -> Server:
    found = server_called(servers, named)
    if found is None:
        raise NotFound(f"There is no server {named}.", action="List them with: burrow mcp servers")
    return found


def _record(server: Server) -> dict[str, Any]:
    return {
        "id": server.id,
        "title": server.title,
        "state": server.state.name.lower(),
        "url": server.url,
        "tool_count": server.tool_count,
    }


def _arguments(given: str) -> dict[str, Any]:
    try:
        arguments = parse_json(read_text() if given == "-" else given)
    except NotJson as problem:
        raise Rejected(f"--args is not JSON: {problem.message}.", action="Give one JSON object.") from None
    if not isinstance(arguments, dict):
        raise Rejected("--args must be one JSON object.", action='For example: --args \'{"name": "value"}\'')
    return arguments


def _show_progress(progress: Progress) -> None:
    total = "" if progress.total is None else f"/{progress.total:g}"
    say(f"{progress.value:g}{total} {progress.message or ''}".rstrip())


def _show_result(result: CallResult, options: argparse.Namespace) -> None:
    if options.json:
        data(result.raw)
        return
    for block in result.blocks:
        if isinstance(block, TextBlock):
            line(block.text)
        elif isinstance(block, LinkBlock):
            line(printable(f"{block.uri}  {block.title or block.name}"))
        elif isinstance(block, ResourceBlock) and block.text is not None:
            line(block.text)
        else:
            say(f"({type(block).__name__.removesuffix('Block').lower()} content; see it with --json)")
    if not result.blocks and result.structured is not None:
        data(result.structured)
    if not result.blocks and result.structured is None:
        say("The tool failed and gave no reason." if result.is_error else "Done. The tool returned no content.")
