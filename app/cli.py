"""The command line: the window's services without a window.

Data goes to standard output, words to standard error. Exit codes are those of `app.core.errors`: 0 done, 2 usage, 3
sign-in needed, 4 not permitted, 5 not found, 6 offline or server trouble, 7 refused by policy, 1 anything else.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from app.core.auth.vault.base import StoreKind
from app.core.diagnostics.logs import start_logging
from app.core.errors import BurrowError, NotFound, Rejected, SignInNeeded, VaultTrouble
from app.core.hosts import WORKSPACE
from app.core.mcp.results.blocks import LinkBlock, ResourceBlock, TextBlock
from app.core.posthog.types import NewTask, TaskQuery
from app.core.services import Services, data_folder
from app.status_words import SHOWN_STEPS, full_lines_of, full_record_of, lines_of, record_of
from app.terminal import data, line, printable, say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from datetime import datetime

    from app.core.backend import Backend
    from app.core.mcp.results.blocks import CallResult, Progress
    from app.core.mcp.servers.server import Server
    from app.core.posthog.types import Task

INTERRUPTED = 130
FAILED = 1
SLUG_PAGES = 20


def main(arguments: Sequence[str]) -> int:
    """Run one subcommand; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], Awaitable[int]] = options.command
    try:
        start_logging(data_folder(options.data))
        code = asyncio.run(_run(command, options))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output went away; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


async def _run(command: Callable[[argparse.Namespace], Awaitable[int]], options: argparse.Namespace) -> int:
    try:
        return await command(options)
    except BurrowError as failure:
        if options.json:
            facts = failure.facts
            data(
                {"error": type(failure).__name__, "cause": failure.cause, "action": failure.advice, "code": facts.code}
            )
        say(f"burrow: {failure.title}: {failure.cause}")
        say(f"        {failure.advice}")
        return failure.exit_code


@asynccontextmanager
async def _services(options: argparse.Namespace) -> AsyncIterator[Services]:
    store = StoreKind(options.store) if getattr(options, "store", None) else None
    services = Services(data_folder(options.data), store=store, role="command line")
    if services.storage.notice:
        say(f"burrow: {services.storage.notice}")
    try:
        yield services
    finally:
        await services.close()


@asynccontextmanager
async def _backend(options: argparse.Namespace, *, ready: bool = True) -> AsyncIterator[Backend]:
    """The backend of the host that `--host` names, else of the last one."""
    async with _services(options) as services:
        named = options.host or services.remembered_host()
        if named is None:
            raise SignInNeeded("No host was chosen yet.", action="Run: burrow login --host us|eu|ADDRESS")
        host = await services.resolve(named)
        backend = await services.connect(host, remember=False)
        if ready:
            await backend.ready()
        yield backend


async def _login(options: argparse.Namespace) -> int:
    async with _services(options) as services:
        named = options.host or services.remembered_host() or "us"
        if options.client_id:
            await services.use_client_id(named, options.client_id)
        host = await services.resolve(named)
        backend = await services.connect(host, restore=False, remember=False)
        session = backend.session
        if host.embedded:
            await backend.start()
        else:
            await session.restore()
            if options.store:
                await session.choose_store(options.store)
            if options.token is not None:
                await backend.sign_in_with_key(_secret(options.token))
            else:
                await _through_browser(backend, open_browser=not options.no_browser)
        await _insist_on_store(backend)
        try:
            await backend.ready()
        except SignInNeeded:
            # A refused key is not worth keeping.
            await session.sign_out()
            raise
        await services.remember(host)
        assert backend.account is not None
        name = backend.account.email or backend.account.short_name
        data(record_of(backend)) if options.json else say(f"Signed in to {host.name} as {name}.")
    return 0


async def _through_browser(backend: Backend, *, open_browser: bool) -> None:
    attempt = await backend.session.begin_sign_in(open_browser=open_browser)
    say("Waiting for your browser. If it does not open, visit:" if open_browser else "Open this address to sign in:")
    say(attempt.url)
    attempt.moved.subscribe(lambda address: say(f"Burrow had to register anew. The address is now:\n{address}"))
    await attempt.finish()


async def _insist_on_store(backend: Backend) -> None:
    """A login that would be gone with this process is worth nothing here: say so instead of pretending."""
    status = backend.session.status
    if status.persistent or backend.host.embedded or status.store == StoreKind.MEMORY.value:
        return
    cause = status.reason or "The sign-in could not be stored."
    await backend.session.sign_out()
    raise VaultTrouble(cause, action="Unlock the keyring, or choose where to keep it: --store file")


async def _logout(options: argparse.Namespace) -> int:
    async with _backend(options, ready=False) as backend:
        await backend.session.sign_out()
        data(record_of(backend)) if options.json else say(f"Signed out of {backend.host.name}.")
    return 0


async def _status(options: argparse.Namespace) -> int:
    async with _backend(options, ready=False) as backend:
        failure: BurrowError | None = None
        try:
            await backend.ready()
        except BurrowError as caught:
            failure = caught
        if options.json:
            data(await full_record_of(backend, options.limit) if options.verbose else record_of(backend))
        else:
            for each in await full_lines_of(backend, options.limit) if options.verbose else lines_of(backend):
                line(each)
        if failure is not None:
            if not options.json:
                say(f"burrow: {failure.title}: {failure.cause}")
            return failure.exit_code
    return 0


async def _tasks_list(options: argparse.Namespace) -> int:
    query = TaskQuery(search=options.search or "", archived=options.archived, repository=options.repository)
    async with _backend(options) as backend:
        page = await backend.tasks.list(query, limit=min(options.limit, 100))
        tasks = list(page.items)
        while page.next and len(tasks) < options.limit:
            page = await backend.tasks.more(page.next)
            tasks.extend(page.items)
        tasks = tasks[: options.limit]
        if options.json:
            data([_task_record(task) for task in tasks])
        else:
            for task in tasks:
                state = task.latest_run.status if task.latest_run else "no run"
                line(f"{task.slug or task.id:<14} {state:<12} {printable(task.title)}")
            if not tasks:
                say("No tasks.")
            if page.count > len(tasks):
                say(f"{len(tasks)} of {page.count}; more with --limit.")
    return 0


async def _tasks_show(options: argparse.Namespace) -> int:
    async with _backend(options) as backend:
        _show(await _find_task(backend, options.task), options)
    return 0


async def _tasks_create(options: argparse.Namespace) -> int:
    description = sys.stdin.read() if options.description == "-" else options.description
    if not description.strip():
        raise Rejected("A task needs a description.", action="Give it as text, or - to read it from standard input.")
    async with _backend(options) as backend:
        new = NewTask(description.strip(), options.title or "", options.repository)
        _show(await backend.tasks.create(new), options)
    return 0


async def _tasks_archive(options: argparse.Namespace) -> int:
    async with _backend(options) as backend:
        task = await _find_task(backend, options.task)
        changed = await backend.tasks.archive(task.id, not options.undo)
        _show(changed, options)
    return 0


async def _find_task(backend: Backend, named: str) -> Task:
    try:
        UUID(named)
    except ValueError:
        pass
    else:
        return await backend.tasks.get(named)
    for archived in (False, True):
        page = await backend.tasks.list(TaskQuery(archived=archived), limit=100)
        for _ in range(SLUG_PAGES):
            for task in page.items:
                if task.slug.lower() == named.lower():
                    return task
            if page.next is None:
                break
            page = await backend.tasks.more(page.next)
    raise NotFound(f"There is no task {named}.", action="List them with: burrow tasks list")


async def _mcp_servers(options: argparse.Namespace) -> int:
    async with _backend(options) as backend:
        servers = await backend.servers.list(refresh=True)
        if options.json:
            data(
                [
                    {
                        "id": server.id,
                        "title": server.title,
                        "state": server.state.name.lower(),
                        "url": server.url,
                        "tool_count": server.tool_count,
                    }
                    for server in servers
                ]
            )
        else:
            for server in servers:
                line(f"{server.id:<38} {server.state.value:<20} {printable(server.title)}")
    return 0


async def _mcp_tools(options: argparse.Namespace) -> int:
    async with _backend(options) as backend:
        server = await _find_server(backend, options.server)
        tools = await backend.servers.tools(server.id, refresh=True)
        if options.json:
            data([{**tool.raw, "policy": tool.policy, "problem": tool.problem} for tool in tools])
        else:
            for tool in tools:
                words = tool.description.splitlines()
                line(f"{printable(tool.name):<32} {tool.policy or '-':<16} {printable(words[0] if words else '')}")
    return 0


async def _mcp_call(options: argparse.Namespace) -> int:
    try:
        text = sys.stdin.read() if options.args == "-" else options.args
        arguments = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as problem:
        raise Rejected(f"--args is not JSON: {problem}.", action="Give one JSON object.") from None
    if not isinstance(arguments, dict):
        raise Rejected("--args must be one JSON object.", action='For example: --args \'{"name": "value"}\'')
    async with _backend(options) as backend:
        server = await _find_server(backend, options.server)
        tools = await backend.servers.tools(server.id)
        tool = next((tool for tool in tools if tool.name == options.tool), None)
        if tool is None:
            raise NotFound(f"{server.title} has no tool {options.tool}.", action="List them with: burrow mcp tools")
        call = backend.servers.start_call(server.id, tool, arguments)
        call.progress.subscribe(_show_progress)
        try:
            result = await call.result()
        except asyncio.CancelledError:
            call.cancel()
            raise
        _show_result(result, options)
        return FAILED if result.is_error else 0


async def _find_server(backend: Backend, named: str) -> Server:
    servers = await backend.servers.list(refresh=True)
    matches = [server for server in servers if named in {server.id, server.title}]
    matches = matches or [server for server in servers if server.title.lower() == named.lower()]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise Rejected(f"Several servers are called {named}.", action="Name one by its id: burrow mcp servers")
    raise NotFound(f"There is no server {named}.", action="List them with: burrow mcp servers")


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _show(task: Task, options: argparse.Namespace) -> None:
    record = _task_record(task)
    if options.json:
        data(record)
        return
    for name, value in record.items():
        if value not in (None, "") and name != "description":
            line(f"{name:<12} {printable(str(value))}")
    line("")
    line(task.description)


def _task_record(task: Task) -> dict[str, Any]:
    run = task.latest_run
    return {
        "id": task.id,
        "slug": task.slug,
        "title": task.title,
        "description": task.description,
        "repository": task.repository,
        "archived": task.archived,
        "status": run.status if run else None,
        "created_at": _time(task.created_at),
        "updated_at": _time(task.updated_at),
    }


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
        say("Done. The tool returned no content.")


def _secret(given: str) -> str:
    """A key from the arguments, or from standard input for `-`, which leaves it out of the process list."""
    if given != "-":
        return given
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass("Personal API key: ")
    return sys.stdin.readline()


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def _parser() -> argparse.ArgumentParser:
    # A parser's defaults would overwrite what was given before the action, so only the outermost one has them.
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--host", help=f"us, eu, {WORKSPACE} or the address of a server; the last one by default")
    common.add_argument("--data", metavar="DIR", help="where all state lives (also BURROW_DATA)")
    common.add_argument("--json", action="store_true", help="machine-readable output")
    parser = argparse.ArgumentParser(prog="burrow")
    parser.set_defaults(host=None, data=None, json=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def group_of(name: str, about: str) -> Any:
        return commands.add_parser(name, parents=[common], help=about).add_subparsers(required=True, metavar="ACTION")

    def add(
        group: Any, name: str, run: Callable[[argparse.Namespace], Awaitable[int]], about: str
    ) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = group.add_parser(name, parents=[common], help=about, description=about)
        command.set_defaults(command=run)
        return command

    login = add(commands, "login", _login, "Sign in through the browser, or with a personal API key.")
    login.add_argument("--token", metavar="KEY", help="a personal API key, or - to read it from standard input")
    login.add_argument("--client-id", metavar="ID", help="for a server that lets no application register itself")
    login.add_argument("--no-browser", action="store_true", help="print the address instead of opening it")
    login.add_argument("--store", choices=[kind.value for kind in StoreKind], help="where the sign-in is kept")
    add(commands, "logout", _logout, "Sign out here and revoke the grant.")
    status = add(commands, "status", _status, "Who is signed in where.")
    status.add_argument(
        *("-v", "--verbose"),
        action="store_true",
        help="also what was granted, and what happened to the sign-in in every process, the newest last",
    )
    status.add_argument(
        "--limit", type=_positive, default=SHOWN_STEPS, help=f"with -v, at most so much of that ({SHOWN_STEPS})"
    )

    tasks = group_of("tasks", "Tasks of the project.")
    listing = add(tasks, "list", _tasks_list, "List tasks, newest first.")
    listing.add_argument("--search", help="only tasks with this text")
    listing.add_argument("--repository", metavar="ORG/NAME", help="only tasks of this repository")
    listing.add_argument("--archived", action="store_true", help="archived tasks instead")
    listing.add_argument("--limit", type=_positive, default=50, help="at most this many (50)")
    show = add(tasks, "show", _tasks_show, "Show one task.")
    show.add_argument("task", help="its id or slug")
    create = add(tasks, "create", _tasks_create, "Create a task.")
    create.add_argument("description", help="what is to be done, or - to read it from standard input")
    create.add_argument("--title")
    create.add_argument("--repository", metavar="ORG/NAME")
    archive = add(tasks, "archive", _tasks_archive, "Archive a task.")
    archive.add_argument("task", help="its id or slug")
    archive.add_argument("--undo", action="store_true", help="take it out of the archive")

    mcp = group_of("mcp", "MCP servers and tools.")
    add(mcp, "servers", _mcp_servers, "List the servers.")
    tools = add(mcp, "tools", _mcp_tools, "List a server's tools.")
    tools.add_argument("server", help="its id or title")
    call = add(mcp, "call", _mcp_call, "Call a tool.")
    call.add_argument("server", help="its id or title")
    call.add_argument("tool", help="the tool's name")
    call.add_argument(
        "--args", default="{}", metavar="JSON", help="one JSON object, or - to read it from standard input"
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
