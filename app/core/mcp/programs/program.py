"""What Burrow knows of a kind of MCP client: the files it reads, and how an entry for a server is written there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

TEST_AGENT = "Burrow (test)"
"""What the test of a client calls itself: trying a client out does not count as its use."""


class Format(Enum):
    """How a configuration file is written. `JSONC`: JSON with comments and trailing commas."""

    JSON = "json"
    JSONC = "jsonc"
    TOML = "toml"


class Via(Enum):
    """How a program reaches the proxy: over HTTP with a key in its file, or through `burrow connect stdio`."""

    HTTP = "http"
    STDIO = "stdio"


class Base(Enum):
    """The folders that places are relative to; `places.py` says where each is."""

    HOME = "home"
    CONFIG = "config"
    APPLICATION_DATA = "application-data"
    LOCAL_DATA = "local-data"
    SUPPORT = "support"
    SYSTEM = "system"


LINUX, MACOS, WINDOWS = "linux", "darwin", "win32"
ANYWHERE = (LINUX, MACOS, WINDOWS)


@dataclass(frozen=True)
class ConfigPlace:
    """A configuration file of a program.

    `file` is relative to `base`, its parts separated by slashes; a part may be a pattern. `variable` names an
    environment variable with another folder: then the file is `name` in that folder. `flavor` tells several
    installations of one program apart. `sandbox`: that of a package which keeps its files apart, and cannot start
    programs outside.
    """

    platforms: tuple[str, ...]
    base: Base
    file: str
    variable: str = ""
    flavor: str = ""
    sandbox: bool = False

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.file.rpartition("/")[2]


@dataclass(frozen=True)
class Installed:
    """How to tell that a program is installed: `commands` on the PATH, or one of `folders`."""

    commands: tuple[str, ...] = ()
    folders: tuple[ConfigPlace, ...] = ()


@dataclass(frozen=True)
class Entry:
    """How a server is written. Empty names are not written.

    `type_http` and `type_stdio` are the values of the member `type`; `url` and `headers` are the names of the members
    for the address and the HTTP headers.
    """

    url: str = "url"
    headers: str = "headers"
    type_http: str = ""
    type_stdio: str = ""


@dataclass(frozen=True)
class Program:
    """A kind of MCP client.

    - `key` is the name of the object or table that has an entry for each server.
    - `vias` are the ways that work, the preferred one first.
    - `owns_file`: it writes its file all the time, so entries are made with its own command.
    - `add` is that command for a server that is a process; `add_http` for one over HTTP. `{name}`, `{url}`, `{header}`
      are replaced, `{command}` by the command and its arguments, `{json}` by the entry with its name.
    - `remove` is the command that removes an entry.
    - `lists` is the command that lists the servers it knows; `checks` says whether that command connects to them.
    - `reload` says what to do after a change, as a sentence.
    """

    id: str
    title: str
    format: Format
    key: str
    entry: Entry
    places: tuple[ConfigPlace, ...]
    installed: Installed
    vias: tuple[Via, ...] = (Via.HTTP, Via.STDIO)
    owns_file: bool = False
    add: tuple[str, ...] = ()
    add_http: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    checks: bool = False
    reload: str = ""


@dataclass(frozen=True)
class OfferedServer:
    """A server that the proxy offers: its id is in the address, its title becomes the name of the entry."""

    id: str
    title: str
