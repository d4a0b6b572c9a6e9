"""The entries of Burrow's servers in a configuration: their names, what they say, and which of those there are ours."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from app.core.mcp.programs.program import OfferedServer, Via
from app.core.mcp.programs.shim_command import server_of_shim, shim_command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from app.core.mcp.programs.program import Program

EntryValue: TypeAlias = "str | tuple[str, ...] | Mapping[str, str]"
# Claude Code and Codex take no other characters in a name. Programs put it before each tool's name, and models take
# 64 characters for both.
NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_-]+")
LONGEST_NAME = 24
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
PATH = re.compile(r"/(?:mcp|sse)/([^/]+)/?")
HEADER = "Authorization"
HEADER_MEMBERS = ("headers", "http_headers")
KEY_PREFIX = "bw_"
# The members that say how a server is reached. The others of an entry are the user's.
REACHING = frozenset(
    {
        *("type", "url", "serverUrl", "headers", "http_headers", "env_http_headers", "bearer_token_env_var"),
        *("http_headers_helper", "headersHelper", "oauth", "command", "args", "env", "env_vars", "cwd", "envFile"),
        *("source", "settings", "auth", "environment_id"),
    }
)


@dataclass(frozen=True)
class Access:
    """What a client needs to reach the proxy: its address, and a key or the client's id.

    `address` is scheme, host and port. `client` is the id that `burrow connect stdio` takes; `data` is Burrow's folder
    if it is not the usual one.
    """

    address: str
    key: str = field(default="", repr=False)
    client: str = ""
    data: Path | None = None

    def url(self, server: OfferedServer) -> str:
        """The address of a server."""
        return f"{self.address.rstrip('/')}/mcp/{server.id}"


@dataclass(frozen=True)
class NamedEntry:
    """An entry: its server, its name, and its members in the order they are written."""

    server: str
    name: str
    members: Mapping[str, EntryValue] = field(repr=False)


@dataclass(frozen=True)
class FoundEntry:
    """An entry of ours in a file: its server and name, and how it reaches the server: over HTTP or with a command."""

    server: str
    name: str
    url: str = ""
    key: str = field(default="", repr=False)
    command: tuple[str, ...] = ()


def entry_name(server: OfferedServer, taken: Iterable[str] = ()) -> str:
    """A name for a server's entry that every program takes, and that is not `taken`."""
    name = NOT_IN_NAME.sub("-", server.title).strip("-_").lower() or NOT_IN_NAME.sub("-", server.id).strip("-_")
    name = name[:LONGEST_NAME].rstrip("-_") or "server"
    others = {each.lower() for each in taken}
    if name not in others:
        return name
    # The user has an entry of that name which is not ours, probably for the same server without Burrow.
    name = f"{name[: LONGEST_NAME - 7]}-burrow"
    number = 2
    free = name
    while free in others:
        free = f"{name}-{number}"
        number += 1
    return free


def members(program: Program, server: OfferedServer, access: Access, via: Via) -> dict[str, EntryValue]:
    """What an entry says."""
    entry = program.entry
    if via is Via.HTTP:
        type_ = {"type": entry.type_http} if entry.type_http else {}
        return {**type_, entry.url: access.url(server), entry.headers: {HEADER: f"Bearer {access.key}"}}
    command, *arguments = shim_command(access.client, server.id, data=access.data)
    type_ = {"type": entry.type_stdio} if entry.type_stdio else {}
    return {**type_, "command": command, "args": tuple(arguments)}


def server_of(entry: object) -> str | None:
    """The id of the server of Burrow's proxy that an entry of any program is for, None for an entry that is not ours.

    The port may be another one: the proxy may have had it.
    """
    if not isinstance(entry, dict):
        return None
    command, arguments = entry.get("command"), entry.get("args")
    if isinstance(command, str):
        texts = [each for each in arguments if isinstance(each, str)] if isinstance(arguments, list) else []
        return server_of_shim(texts)
    # Others serve at such addresses on this machine too, but not with a key of ours.
    if not any(_key(entry.get(name)) for name in HEADER_MEMBERS):
        return None
    for name in ("url", "serverUrl"):
        if isinstance(address := entry.get(name), str):
            return _server_in(address)
    return None


def found_entry(name: str, entry: object) -> FoundEntry | None:
    """What an entry of ours says, None for any other entry."""
    server = server_of(entry)
    if server is None or not isinstance(entry, dict):
        return None
    if isinstance(command := entry.get("command"), str):
        return FoundEntry(server, name, command=(command, *map(str, entry.get("args", ()))))
    keys = [key for member in HEADER_MEMBERS if (key := _key(entry.get(member)))]
    return FoundEntry(server, name, str(entry.get("url") or entry.get("serverUrl")), keys[0])


def _key(headers: object) -> str:
    """The client's key in the headers of an entry, empty without one."""
    for name, value in headers.items() if isinstance(headers, dict) else ():
        if name.lower() == HEADER.lower() and isinstance(value, str) and value.startswith(f"Bearer {KEY_PREFIX}"):
            return value.removeprefix("Bearer ")
    return ""


def _server_in(address: str) -> str | None:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme != "http" or parts.hostname not in LOOPBACK or port is None:
        return None
    found = PATH.fullmatch(parts.path)
    return unquote(found[1]) if found else None


def plan(
    program: Program, servers: Sequence[OfferedServer], access: Access, via: Via, there: Mapping[str, object]
) -> tuple[NamedEntry, ...]:
    """The entries to write beside those that are `there`. One of ours keeps its name, a new one gets a free name."""
    ours = {found: name for name, entry in there.items() if (found := server_of(entry)) is not None}
    taken = set(there)
    planned = []
    for server in servers:
        name = ours.get(server.id) or entry_name(server, taken)
        taken.add(name)
        planned.append(NamedEntry(server.id, name, members(program, server, access, via)))
    return tuple(planned)
