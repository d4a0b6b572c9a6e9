"""The command that a program starts to reach a server of the proxy through standard input and output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from app.core.installation import installation

if TYPE_CHECKING:
    from pathlib import Path

SUBCOMMAND = ("connect", "stdio")


def burrow_command() -> tuple[str, ...]:
    """The command that starts this Burrow from any folder and with any PATH: absolute, without a shell."""
    if getattr(sys, "frozen", False):
        return installation().command
    # -P: a folder `app` in the program's own folder is not ours.
    return (sys.executable, "-P", "-m", "app")


def shim_command(client: str, server: str, *, data: Path | None = None) -> tuple[str, ...]:
    """The command for one server and the client's id. `data` is Burrow's folder if it is not the usual one."""
    folder = () if data is None else ("--data", str(data))
    return (*burrow_command(), *SUBCOMMAND, client, "--server", server, *folder)


def server_of_shim(arguments: list[str] | tuple[str, ...]) -> str | None:
    """The server of a command that `shim_command` made, None for any other command."""
    for at in range(len(arguments) - 1):
        if tuple(arguments[at : at + 2]) == SUBCOMMAND and "--server" in arguments[at:-1]:
            return arguments[arguments.index("--server", at) + 1]
    return None
