"""`burrow workspace`: starts the workspace, prints one line of JSON when it is ready, and ends with its users."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import secrets
import shlex
import signal
import socket
import sqlite3
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from app import __version__
from app.workspace.lifetime import Lifetime, named_in
from app.workspace.runtime.clock import AdjustableClock
from app.workspace.runtime.context import FIRST_PARTY_CLIENT_ID, Workspace, WorkspaceSettings
from app.workspace.runtime.counters import RequestCounters
from app.workspace.runtime.database import WorkspaceDatabase
from app.workspace.runtime.fault_rules import FaultRules
from app.workspace.runtime.import_thread import end_beside_imports
from app.workspace.runtime.log import start_log
from app.workspace.seed.fill import seed
from app.workspace.server import WorkspaceHttpServer
from app.workspace.web.secret import SECRET_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RUNTIME_FILE = "runtime.json"
CODE_SECONDS = 5.0
MOST_RUNS = 64


def main(argv: Sequence[str]) -> int:
    """Run until nobody uses it (`--watch-users`), stdin ends (`--watch-stdin`), SIGTERM, SIGINT or SIGHUP.

    Returns the exit code.
    """
    options = _parser().parse_args(argv)
    # SQLite's log files and `runtime.json` have keys in them: whatever this process creates is its owner's only.
    os.umask(0o077)
    try:
        folder = Path(options.data).expanduser()
    except RuntimeError as trouble:
        sys.stderr.write(f"burrow workspace: {options.data} cannot be found: {trouble} Name a folder with --data.\n")
        return 1
    if options.code:
        return _show_code(folder)
    start_log(folder)
    try:
        lifetime = Lifetime(folder / RUNTIME_FILE) if options.watch_users else None
        listener = _listen(options.port, or_any=options.any_port)
        database = WorkspaceDatabase.open(folder)
    except (OSError, sqlite3.Error) as trouble:
        logging.getLogger("app.workspace").error("cannot start: %s", trouble)
        return 1
    try:
        code = asyncio.run(_serve(options, listener, database, folder, lifetime))
    finally:
        database.close()
    end_beside_imports(code)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="burrow workspace", description="A PostHog-compatible server.")
    parser.add_argument("--data", required=True, metavar="DIR", help="where the workspace keeps its database")
    parser.add_argument("--host-name", default="127.0.0.1", choices=("127.0.0.1", "localhost"))
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose")
    parser.add_argument("--any-port", action="store_true", help="if --port is not free, let the system choose")
    parser.add_argument("--watch-users", action="store_true", help="end when no process uses it any more")
    parser.add_argument("--code", action="store_true", help="show a code for a sign-in page of the running workspace")
    parser.add_argument(
        "--agent",
        default=(),
        type=_command,
        metavar="CMD",
        help="an ACP agent with its arguments that carries out cloud runs; the survey agent without it",
    )
    parser.add_argument("--runs", type=_natural, default=2, metavar="N", help="runs at once; with 0 they stay queued")
    parser.add_argument("--watch-stdin", action="store_true", help="end when standard input ends")
    for name, seconds, words in (
        ("--access-token-seconds", 604_800.0, "lifetime of the first-party client's access tokens"),
        ("--dynamic-access-token-seconds", 604_800.0, "lifetime of registered clients' access tokens"),
        ("--refresh-grace-seconds", 120.0, "how long a spent refresh token still returns its successors"),
        ("--code-seconds", 300.0, "lifetime of an authorization code"),
        ("--header-seconds", 15.0, "how long the header of a request may take to arrive"),
        ("--body-seconds", 60.0, "how long the body of a request may take to arrive"),
        ("--idle-seconds", 1800.0, "how long an interactive run waits for a message before it is completed"),
        ("--cancel-seconds", 10.0, "how long an agent may take to stop"),
    ):
        parser.add_argument(name, type=_seconds, default=seconds, metavar="N", help=words)
    return parser


def _show_code(folder: Path) -> int:
    """Print a code that the consent page of the workspace in `folder` takes once. Returns the exit code."""
    import urllib.request

    try:
        running = json.loads((folder / RUNTIME_FILE).read_text("utf-8"))
        request = urllib.request.Request(
            f"{running['url']}/_tickets/code", b"", {SECRET_HEADER: running["secret"]}, method="POST"
        )
        # Never through a proxy of the environment: the secret stays on this machine.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=CODE_SECONDS) as answer:
            print(json.load(answer)["code"])  # noqa: T201
    except (OSError, ValueError, KeyError, TypeError):
        print(f"burrow: no workspace is running in {folder}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 10**9:
        raise ValueError(text)
    return value


def _natural(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > MOST_RUNS:
        raise ValueError(text)
    return int(text)


def _command(text: str) -> tuple[str, ...]:
    """A command as a shell would read it; on Windows backslashes stay what they are."""
    return tuple(shlex.split(text, posix=sys.platform != "win32"))


def _listen(port: int, *, or_any: bool) -> socket.socket:
    # asyncio disables Nagle's algorithm only where the protocol is given; otherwise each answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # On Windows the option would let another process take a port that is in use.
    if sys.platform != "win32":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as trouble:
        listener.close()
        if or_any and port:
            return _listen(0, or_any=False)
        raise OSError(f"port {port} is not free: {trouble}") from trouble
    listener.listen(256)
    return listener


async def _serve(
    options: argparse.Namespace,
    listener: socket.socket,
    database: WorkspaceDatabase,
    folder: Path,
    lifetime: Lifetime | None,
) -> int:
    settings = WorkspaceSettings(
        url=f"http://{options.host_name}:{listener.getsockname()[1]}",
        data=folder,
        secret=secrets.token_urlsafe(32),
        version=__version__,
        access_token_seconds=options.access_token_seconds,
        dynamic_access_token_seconds=options.dynamic_access_token_seconds,
        refresh_grace_seconds=options.refresh_grace_seconds,
        code_seconds=options.code_seconds,
        header_seconds=options.header_seconds,
        body_seconds=options.body_seconds,
        agent_command=options.agent,
        most_runs=options.runs,
        idle_seconds=options.idle_seconds,
        cancel_seconds=options.cancel_seconds,
    )
    workspace = Workspace(settings, database, AdjustableClock(), FaultRules(), RequestCounters())
    await seed(workspace)
    runtime = folder / RUNTIME_FILE
    line = json.dumps(
        {
            "url": settings.url,
            "secret": settings.secret,
            "pid": os.getpid(),
            "client_id": FIRST_PARTY_CLIENT_ID,
            "mcp_url": settings.mcp_url,
            "version": settings.version,
            "notices": database.notices,
        }
    )

    def ready() -> None:
        _write_private(runtime, line)
        if lifetime is not None:
            lifetime.watch(stop)
        with contextlib.suppress(OSError):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    for notice in database.notices:
        logging.getLogger("app.workspace").warning("%s", notice)
    loop = asyncio.get_running_loop()
    server = WorkspaceHttpServer(workspace, ready)

    def stop() -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(server.stop)

    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, server.stop)
    if options.watch_stdin:
        _stop_with_stdin(stop)
    try:
        await server.serve(sockets=[listener])
    finally:
        # A workspace that was started later has replaced it.
        if named_in(runtime) == os.getpid():
            runtime.unlink(missing_ok=True)
    return 0


def _stop_with_stdin(stop: Callable[[], None]) -> None:
    """End when standard input does: a parent that is killed closes it too, without any handler of its own."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                continue
        stop()

    threading.Thread(target=watch, name="stdin", daemon=True).start()


def _write_private(path: Path, content: str) -> None:
    """Replace the file in one step, so that a reader never sees half of it and nobody else can read the secret."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    beside.replace(path)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
