"""The parser of the command line, and how a command is run and fails."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from app.cli import accounts, connect, mcp, own_servers, proxy, run_logs, run_say, runs, tasks, update
from app.cli.signals import interruption
from app.cli.status import SHOWN_STEPS
from app.cli.terminal import data, output, prepare, say
from app.core.auth.vault.base import StoreKind
from app.core.data_folder import data_folder
from app.core.diagnostics.logs import start_logging
from app.core.errors import BurrowError
from app.core.hosts import WORKSPACE
from app.core.posthog.task_fields import TASK_FIELDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Command = Callable[[argparse.Namespace], Awaitable[int]]

FAILED = 1
# The option that gives the field which an error names.
OPTION_OF = {"client_id": "--client-id"}


def main(arguments: Sequence[str]) -> int:
    """Run one subcommand; returns the exit code."""
    prepare()
    options = _parser().parse_args(arguments)
    output.keeps = options.acts
    try:
        with interruption.caught():
            code = asyncio.run(_run(options.command, options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        # `asyncio.run` has waited for the command, so its services are closed.
        code = interruption.exit_code
    except Exception as failure:  # noqa: BLE001 - the last resort: a report is written
        code = _crashed(failure, options)
    return _checked(code, options)


def _crashed(failure: Exception, options: argparse.Namespace) -> int:
    """Write a report of a defect, and say where it is."""
    from app.core.diagnostics.crash_hooks import CrashRecorder, crash_words
    from app.core.diagnostics.crash_watch import process_facts
    from app.core.diagnostics.crashes import CrashReports

    logging.getLogger(__name__).critical("uncaught", exc_info=failure)
    report = None
    # Where there is no data folder, there is no report.
    with contextlib.suppress(BurrowError):
        reports = CrashReports(data_folder(options.data), process_facts())
        report = CrashRecorder(reports).record(failure, "a command")
    say(crash_words(failure, report).rstrip("\n"))
    return FAILED


def _checked(code: int, options: argparse.Namespace) -> int:
    """The exit code once it is known whether the output was written."""
    if output.failure is None:
        return code
    reader_left = isinstance(output.failure, BrokenPipeError)
    if not (reader_left and not options.acts):
        say(f"burrow: Standard output could not be written: {output.failure.strerror}.")
    if options.acts:
        # It is done all the same, and doing it again would do it twice.
        say(output.text.rstrip("\n"))
        return code
    return code or FAILED


async def _run(command: Command, options: argparse.Namespace) -> int:
    try:
        start_logging(data_folder(options.data))
        return await command(options)
    except BurrowError as failure:
        if options.json:
            facts = failure.facts
            data(
                {"error": type(failure).__name__, "cause": failure.cause, "action": failure.advice, "code": facts.code}
            )
        say(f"burrow: {failure.title}: {failure.cause}")
        say(f"        {failure.advice}")
        if failure.facts.attr in OPTION_OF:
            say(f"        Give it with {OPTION_OF[failure.facts.attr]}.")
        return failure.exit_code


def _parser() -> argparse.ArgumentParser:
    # A parser's defaults would overwrite what was given before the action, so only the outermost one has them.
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--host", help=f"us, eu, {WORKSPACE} or the address of a server; the last one by default")
    common.add_argument("--account", metavar="NAME", help="which account: its e-mail address, or the name it was given")
    common.add_argument("--data", metavar="DIR", help="the folder for all data (also BURROW_DATA)")
    common.add_argument("--json", action="store_true", help="machine-readable output")
    parser = argparse.ArgumentParser(prog="burrow")
    parser.set_defaults(host=None, account=None, data=None, json=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def group_of(name: str, about: str) -> Any:
        return commands.add_parser(name, parents=[common], help=about).add_subparsers(required=True, metavar="ACTION")

    def add(group: Any, name: str, run: Command, about: str, *, acts: bool = False) -> argparse.ArgumentParser:
        """`acts`: what it does is not done again by running it again."""
        command: argparse.ArgumentParser = group.add_parser(name, parents=[common], help=about, description=about)
        command.set_defaults(command=run, acts=acts)
        return command

    _add_accounts(commands, add)
    _add_tasks(group_of("tasks", "Tasks of the project."), add)
    _add_mcp(group_of("mcp", "MCP servers and tools."), add)
    proxy.add_arguments(
        add(commands, "proxy", proxy.serve, "Serve MCP clients on this machine, without a window."), _port
    )
    connect.add_arguments(group_of("connect", "The MCP clients of this machine that may use the local proxy."), add)
    update.add_arguments(add(commands, "update", update.update, "Look for a newer version, or install it.", acts=True))
    return parser


def _add_accounts(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    login = add(
        commands, "login", accounts.login, "Sign in through the browser, or with a personal API key.", acts=True
    )
    login.add_argument("--token", metavar="KEY", help="sign in with this API key; - reads it from standard input")
    login.add_argument("--client-id", metavar="ID", help="OAuth client id, for a server without client registration")
    login.add_argument("--client-secret", metavar="SECRET", help="its secret; - reads it from standard input")
    login.add_argument("--no-browser", action="store_true", help="print the address instead of opening it")
    login.add_argument("--store", choices=[kind.value for kind in StoreKind], help="where to keep the sign-in")
    login.add_argument("--url", help="add the MCP server at this address and sign in to it")
    login.add_argument("--title", help="the title of that server")
    _add_transport(login)
    logout = add(commands, "logout", accounts.logout, "Sign out and revoke the grant.", acts=True)
    logout.add_argument("--url", help="sign out of the MCP server at this address")
    status = add(commands, "status", accounts.show_status, "Show who is signed in where.")
    status.add_argument(
        *("-v", "--verbose"),
        action="store_true",
        help="also what was granted, and what happened to the sign-in in every process, newest last",
    )
    status.add_argument(
        "--limit", type=_positive, default=SHOWN_STEPS, help=f"with -v, at most this many events ({SHOWN_STEPS})"
    )


def _add_tasks(group: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    listing = add(group, "list", tasks.list_tasks, "List tasks, newest first.")
    listing.add_argument("--search", help="only tasks that contain this text")
    listing.add_argument("--repository", metavar="ORG/NAME", help="only tasks of this repository")
    listing.add_argument("--archived", action="store_true", help="list archived tasks instead")
    listing.add_argument("--limit", type=_positive, default=50, help="at most this many (50)")
    show = add(group, "show", tasks.show, "Show one task.")
    show.add_argument("task", help="its id or short name, such as HED-1")
    create = add(group, "create", tasks.create, "Create a task.", acts=True)
    create.add_argument("description", help="what is to be done; - reads it from standard input")
    for each in TASK_FIELDS:
        if each.name != "description":
            create.add_argument(f"--{each.name.replace('_', '-')}", help=each.hint or each.caption)
    archive = add(group, "archive", tasks.archive, "Archive a task.", acts=True)
    archive.add_argument("task", help="its id or short name, such as HED-1")
    archive.add_argument("--undo", action="store_true", help="take it out of the archive")
    runs.add_arguments(group, add)
    run_logs.add_arguments(group, add, _positive)
    run_say.add_arguments(group, add)


def _add_mcp(group: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    add(group, "servers", mcp.list_servers, "List the servers.")
    own_servers.add_arguments(group, add)
    tools = add(group, "tools", mcp.list_tools, "List a server's tools.")
    tools.add_argument("server", nargs="*", metavar="SERVER", help="its id or title; none with --url or --stdio")
    call = add(group, "call", mcp.call, "Call a tool.", acts=True)
    call.add_argument("names", nargs="+", metavar="[SERVER] TOOL", help="the server's id or title, and the tool's name")
    call.add_argument("--args", default="{}", metavar="JSON", help="one JSON object; - reads it from standard input")
    call.add_argument("--yes", action="store_true", help="call a tool that may destroy without a question")
    for command in (tools, call):
        which = command.add_mutually_exclusive_group()
        which.add_argument("--url", help="the address of a server; sign in to it with: burrow login --url URL")
        which.add_argument("--stdio", metavar="COMMAND", help="the command that starts a server on its pipes")
        _add_transport(command)
        command.set_defaults(fail=command.error)


def _add_transport(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--transport", choices=("http", "sse"), default="http", help="of --url; sse is for servers of MCP 2024-11-05"
    )


def _port(text: str) -> int:
    value = int(text)
    if not 1024 <= value <= 65535:
        raise argparse.ArgumentTypeError("must be a number from 1024 to 65535")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
