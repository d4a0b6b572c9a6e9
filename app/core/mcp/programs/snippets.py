"""The text that a person pastes to connect a program: a part of its configuration, or commands for a terminal."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.core.mcp.programs.entries import HEADER, REACHING, Access, plan
from app.core.mcp.programs.places import ProgramMachine
from app.core.mcp.programs.program import WINDOWS, Format, Via
from app.core.mcp.programs.toml_edit import set_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.core.mcp.programs.entries import NamedEntry
    from app.core.mcp.programs.program import OfferedServer, Program

# Lets a text for a server over HTTP be shown before there is a key.
NO_KEY = "YOUR-KEY"


@dataclass(frozen=True)
class Snippet:
    """A text to paste. `language` is `json`, `toml` or `shell`; `note` says where it goes and what to do then."""

    text: str = field(repr=False)
    language: str
    note: str


def snippet(
    program: Program,
    servers: Sequence[OfferedServer],
    address: str,
    key: str,
    *,
    client: str = "",
    data: Path | None = None,
    via: Via | None = None,
    machine: ProgramMachine | None = None,
) -> Snippet:
    """The text for a program, complete as it stands.

    `address` is scheme, host and port of the proxy. `key` is written where `via` is HTTP; through the shim, `client` is
    the id of the client and `data` Burrow's folder if it is not the usual one. `via` is by default the way that the
    program prefers.
    """
    way = via if via in program.vias else program.vias[0]
    machine = machine or ProgramMachine.here()
    entries = plan(program, servers, Access(address, key or NO_KEY, client, data), way, {})
    if program.owns_file:
        return _commands(program, entries, way, machine)
    if program.format is Format.TOML:
        text = ""
        for entry in entries:
            text = set_table(text, program.key, entry.name, entry.members, REACHING)
            text += "" if text.endswith("\n") else "\n"
        return Snippet(text, "toml", _note(program, machine))
    document = {program.key: {entry.name: entry.members for entry in entries}}
    return Snippet(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "json", _note(program, machine))


def add_command(program: Program, entry: NamedEntry, way: Via) -> tuple[str, ...]:
    """The program's own command that adds an entry; empty where it has none for this way.

    It ends at once. Still, a key in it is seen by others of this machine for that long, so no program that can be given
    a key in another way has a command for it.
    """
    pattern = program.add_http if way is Via.HTTP else program.add
    words: list[str] = []
    for word in pattern:
        if word == "{command}":
            command, arguments = entry.members["command"], entry.members["args"]
            words += [str(command), *arguments]
        elif word == "{json}":
            words.append(json.dumps({"name": entry.name, **entry.members}, ensure_ascii=False))
        else:
            words.append(_filled(word, entry))
    return tuple(words)


def remove_command(program: Program, name: str) -> tuple[str, ...]:
    """The program's own command that removes the entry of this name; empty where it has none."""
    return tuple(name if word == "{name}" else word for word in program.remove)


def shell_line(words: Sequence[str], machine: ProgramMachine | None = None) -> str:
    """A command as it is typed into a terminal: of a POSIX shell, or of Windows."""
    windows = (machine or ProgramMachine.here()).platform == WINDOWS
    return subprocess.list2cmdline(words) if windows else shlex.join(words)


def _filled(word: str, entry: NamedEntry) -> str:
    match word:
        case "{name}":
            return entry.name
        case "{url}":
            return str(entry.members["url"])
        case "{header}":
            headers = entry.members["headers"]
            return f"{HEADER}: {headers[HEADER]}" if isinstance(headers, dict) else ""
        case _:
            return word


def _commands(program: Program, entries: Sequence[NamedEntry], way: Via, machine: ProgramMachine) -> Snippet:
    lines = [shell_line(add_command(program, entry, way), machine) for entry in entries]
    again = shell_line(remove_command(program, entries[0].name), machine) if entries else ""
    note = " ".join(
        part
        for part in (
            "Run this in a terminal.",
            f"If an entry of that name exists, remove it before: {again}." if again else "",
            program.reload,
        )
        if part
    )
    return Snippet("".join(f"{line}\n" for line in lines), "shell", note)


def _note(program: Program, machine: ProgramMachine) -> str:
    paths = [path for place in program.places for path in machine.paths(place)]
    where = f"This goes into {_short(paths[0], machine)}." if paths else ""
    return " ".join(part for part in (where, program.reload) if part)


def _short(path: Path, machine: ProgramMachine) -> str:
    try:
        return f"~/{path.relative_to(machine.home).as_posix()}" if machine.platform != WINDOWS else str(path)
    except ValueError:
        return str(path)
