"""A server from what a person typed, in the window or on the command line; each field says what is wrong with it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from typing import TYPE_CHECKING

from app.core.errors import Facts, Rejected
from app.core.mcp.servers.definitions import StdioServer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.mcp.servers.definitions import OwnServer

NAME = re.compile(r"[^\W\d]\w*", re.ASCII)


def typed_process(
    title: str,
    command: str,
    *,
    folder: str = "",
    environment: Iterable[str] = (),
    shared: bool = False,
    description: str = "",
) -> StdioServer:
    """A server that is a process. `environment` has a variable on each line, `NAME=VALUE`.

    It looks at the disk, so it is called in a thread. Raises `Rejected` (attr `command`, `folder` or `environment`).
    """
    words = typed_command(command)
    where = os.path.expanduser(folder.strip())
    if where and not os.path.isdir(where):
        raise _wrong("folder", f"There is no folder {where}.", "Choose a folder that is there.")
    where = os.path.abspath(where) if where else ""
    variables = typed_environment(environment)
    words = (_program(words[0], where, dict(variables)), *words[1:])
    return StdioServer("", title.strip() or os.path.basename(words[0]), words, where, variables, description, shared)


def is_same_process(one: StdioServer, other: OwnServer) -> bool:
    """Whether both start the same command in the same way."""
    return isinstance(other, StdioServer) and (one.command, one.folder, one.environment) == (
        other.command,
        other.folder,
        other.environment,
    )


def typed_command(text: str) -> tuple[str, ...]:
    """The words of a command, quoted as for a shell. Raises `Rejected` (attr `command`)."""
    try:
        # On Windows a backslash is part of a path, and quotes stay around words.
        words = tuple(shlex.split(text.replace("\n", " "), posix=os.name == "posix"))
    except ValueError as problem:
        raise _wrong("command", f"This is not a command: {problem}.", "Quote it as for a shell.") from None
    if os.name != "posix":
        words = tuple(word[1:-1] if word[:1] == word[-1:] == '"' and len(word) > 1 else word for word in words)
    if not words or not words[0]:
        raise _wrong("command", "There is no command.", "Give the command that starts the server.")
    return words


def typed_environment(lines: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The variables of lines `NAME=VALUE`; values are taken as they are. Raises `Rejected` (attr `environment`).

    An error names a line by its number or its name, never by its value, which may be a secret.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        name = name.strip()
        if not equals or not NAME.fullmatch(name) or "\0" in value:
            raise _wrong(
                "environment", f"Line {number} is not NAME=VALUE.", "Write each variable on a line of its own."
            )
        if name in found:
            raise _wrong("environment", f"{name} is there twice.", "Remove one of the two lines.")
        found[name] = value.rstrip("\r")
    return tuple(found.items())


def _program(name: str, folder: str, environment: dict[str, str]) -> str:
    """The program of a command, whose home folder is written out. Raises `Rejected` (attr `command`)."""
    program = os.path.expanduser(name)
    if os.path.dirname(program):
        at = os.path.join(folder, program) if folder else program
        is_there = os.path.isfile(at) and os.access(at, os.X_OK)
    else:
        is_there = shutil.which(program, path=environment.get("PATH")) is not None
    if not is_there:
        raise _wrong("command", f"There is no program {name}.", "Check its name, or give its whole path.")
    return program


def _wrong(attr: str, words: str, action: str) -> Rejected:
    return Rejected(words, Facts(attr=attr), action=action)
