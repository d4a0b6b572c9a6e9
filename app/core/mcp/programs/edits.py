"""Plans of changes to a program's configuration file: `add` and `remove` read it and say what would be in it then.

What is planned is read again and compared with what was there. Nothing but our entries may differ, or the plan is
refused.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from app.core.mcp.json_faults import place_of
from app.core.mcp.programs import jsonc
from app.core.mcp.programs.config_file import read_config, write_config
from app.core.mcp.programs.entries import REACHING, FoundEntry, found_entry, plan, server_of
from app.core.mcp.programs.json_edit import delete_member, set_members
from app.core.mcp.programs.program import Format, Via
from app.core.mcp.programs.refused import ConfigRefused
from app.core.mcp.programs.toml_edit import delete_table, set_table
from app.core.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from app.core.mcp.programs.entries import Access, NamedEntry
    from app.core.mcp.programs.program import OfferedServer, Program

BOM = "\ufeff"
NO_KEY = "Give the client another key, or let the program start Burrow's command instead."
# More than any configuration, and less than what would keep a preview waiting.
SIZE_LIMIT = 8 * 1024 * 1024


@dataclass(frozen=True)
class ConfigEdit:
    """A change of a configuration file that was planned and not made yet.

    `before` is what was read, None for a file that does not exist. `diff` is unified, with secrets hidden; empty when
    nothing would change. `entries` are the names of the entries that are written or removed.
    """

    path: Path
    before: bytes | None = field(repr=False)
    after: bytes = field(repr=False)
    diff: str = field(repr=False)
    entries: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything would be different."""
        return self.after != (self.before or b"")

    @property
    def readable_by_others(self) -> bool:
        """Whether other users of this machine may read the file, and so the key in it."""
        try:
            return os.name == "posix" and bool(self.path.stat().st_mode & 0o044)
        except OSError:
            return False

    def write(self) -> Path | None:
        """Make the change, and return the backup; None when there was nothing to keep. Blocking.

        Raises `ConfigRefused`, also when the file is not what was read any more: then nothing was written.
        """
        return write_config(self.path, self.before, self.after) if self.changes else None


def add(
    program: Program, path: Path, servers: Sequence[OfferedServer], access: Access, via: Via | None = None
) -> ConfigEdit:
    """Plan entries for servers: new ones, or new contents of those that are there. Blocking.

    `via` is by default the way that the program prefers. Over HTTP, without a key in `access`, the key that is in the
    file already is kept. Raises `ConfigRefused`, also when there is no key at all.
    """
    before, text, bom = _read(path)
    there = _entries(program, text, path)
    way = via or program.vias[0]
    if way is Via.HTTP and not access.key:
        access = replace(access, key=_key_there(there, path))
    entries = plan(program, servers, access, way, there)
    after = text
    for entry in entries:
        after = _with_entry(program, after, entry, there, path)
    expected = {**there, **{entry.name: _merged(program, there.get(entry.name), entry) for entry in entries}}
    names = tuple(entry.name for entry in entries)
    _check(program, text, after, expected, path)
    return _edit(path, before, bom, text, after, names)


def remove(program: Program, path: Path, servers: Collection[str] | None = None) -> ConfigEdit:
    """Plan to remove our entries of these servers' ids, by default all of ours. Blocking. Raises `ConfigRefused`."""
    before, text, bom = _read(path)
    there = _entries(program, text, path)
    ours = {name: server for name, entry in there.items() if (server := server_of(entry)) is not None}
    names = tuple(name for name, server in ours.items() if servers is None or server in servers)
    after = text
    for name in names:
        if program.format is Format.TOML:
            after = delete_table(after, program.key, name)
        else:
            after = delete_member(after, (program.key,), name, comments=program.format is Format.JSONC)
    _check(program, text, after, {name: entry for name, entry in there.items() if name not in names}, path)
    return _edit(path, before, bom, text, after, names)


def our_entries(program: Program, path: Path) -> tuple[FoundEntry, ...]:
    """The entries of ours that a file has. Blocking. Raises `ConfigRefused` for a file that cannot be read."""
    _before, text, _bom = _read(path)
    there = _entries(program, text, path)
    return tuple(entry for name, value in there.items() if (entry := found_entry(name, value)) is not None)


def _key_there(there: Mapping[str, object], path: Path) -> str:
    """The key of our entries in a file. Raises `ConfigRefused` where there is none, or more than one."""
    keys = {entry.key for name, value in there.items() if (entry := found_entry(name, value)) and entry.key}
    if len(keys) != 1:
        raise ConfigRefused(f"The client's key is not known any more, and {path} has none to keep.", action=NO_KEY)
    return keys.pop()


def _read(path: Path) -> tuple[bytes | None, str, str]:
    """What the file has, its text without a byte order mark, and that mark."""
    content = read_config(path, SIZE_LIMIT)
    try:
        text = (content or b"").decode("utf-8")
    except UnicodeDecodeError as problem:
        raise ConfigRefused(f"{path} is not text in UTF-8 (byte {problem.start}).") from None
    bom = BOM if text.startswith(BOM) else ""
    return content, text.removeprefix(BOM), bom


def _edit(path: Path, before: bytes | None, bom: str, text: str, after: str, names: tuple[str, ...]) -> ConfigEdit:
    lines = difflib.unified_diff(_shown(text), _shown(after), fromfile=str(path), tofile=str(path), n=3, lineterm="")
    return ConfigEdit(path, before, (bom + after).encode(), "\n".join(lines), names)


def _shown(text: str) -> list[str]:
    # The whole text first, for secrets of several lines.
    return [redact_text(line) for line in redact_text(text).splitlines()]


def _entries(program: Program, text: str, path: Path) -> dict[str, object]:
    """The servers of a configuration."""
    servers = _parsed(program, text, path).get(program.key, {})
    if not isinstance(servers, dict):
        raise ConfigRefused(f"“{program.key}” in {path} is not an object with servers.")
    return servers


def _parsed(program: Program, text: str, path: Path) -> dict[str, object]:
    if program.format is Format.TOML:
        try:
            return tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as problem:
            raise ConfigRefused(f"{path} is not valid TOML: {problem}.") from None
    try:
        root = jsonc.read(text, comments=program.format is Format.JSONC).root
    except jsonc.NotReadable as problem:
        raise _not_readable(problem, text, path) from None
    if root is None:
        return {}
    value = root.value()
    if not isinstance(value, dict):
        raise ConfigRefused(f"{path} should have an object, and has another value.")
    return value


def _not_readable(problem: jsonc.NotReadable, text: str, path: Path) -> ConfigRefused:
    line, column = place_of(text, problem.at)
    return ConfigRefused(f"{path} cannot be read: {problem.words} (line {line}, column {column}).")


def _with_entry(program: Program, text: str, entry: NamedEntry, there: Mapping[str, object], path: Path) -> str:
    if program.format is Format.TOML:
        return set_table(text, program.key, entry.name, entry.members, REACHING)
    comments = program.format is Format.JSONC
    try:
        old = there.get(entry.name)
        if not isinstance(old, dict):
            return set_members(text, (program.key,), {entry.name: entry.members}, comments=comments)
        inside = (program.key, entry.name)
        for name in old:
            if name in REACHING and name not in entry.members:
                text = delete_member(text, inside, name, comments=comments)
        return set_members(text, inside, entry.members, comments=comments)
    except jsonc.NotReadable as problem:
        raise _not_readable(problem, text, path) from None


def _merged(program: Program, old: object, entry: NamedEntry) -> dict[str, object]:
    """What an entry is after it was written: members that do not say how to reach the server stay."""
    kept = {name: value for name, value in old.items() if name not in REACHING} if isinstance(old, dict) else {}
    return {**kept, **{name: _plain(value) for name, value in entry.members.items()}}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _check(program: Program, before: str, after: str, expected: Mapping[str, object], path: Path) -> None:
    """Refuse a change that would change anything else, whatever the reason."""
    was, is_ = _parsed(program, before, path), _parsed(program, after, path)
    # A table that is empty then may be gone.
    if {**was, program.key: dict(expected)} != {**is_, program.key: is_.get(program.key, {})}:
        raise ConfigRefused(f"{path} is written in a way in which Burrow cannot change its own entry alone.")
