"""Links that open something in Burrow: `burrow://task/ID`, `burrow://new?text=…`, `burrow://server/NAME`, and
`burrow://integration?…`, with which a browser comes back from a page on which GitHub was connected.

Any web page and any program can make one, so they are read strictly (RFC 3986, no spelling but one), and none of them
starts, runs, sends, signs in or changes anything: whoever opens one shows what it names, or asks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from app.core.errors import Facts, Rejected
from app.core.hosts import WORKSPACE, parse_host
from app.marks import revealed, revealed_name

SCHEME = "burrow"
# In characters. Each byte of a text may take three.
LONGEST_LINK = 32_768
LONGEST_TEXT = 8192
LONGEST_NAME = 200
# RFC 3986, section 2, without the characters that separate the authority's parts and the fragment: none is allowed.
CHARACTERS = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*")
# Behind so many empty lines or blanks nobody expects the text to go on. White space of all scripts, but for tabs.
GAP = re.compile(r"(?:[^\S\n]*\n){12}|[^\S\n]{80}")
ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")
PROJECT = re.compile(r"[1-9][0-9]{0,17}")
CODE = re.compile(r"[a-z0-9_]{1,64}")
GITHUB, SUCCESS, ERROR = "github", "success", "error"
REPOSITORY = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True, slots=True)
class TaskLink:
    """A task by its id, and perhaps one of its runs. `host` is the key of its host (`Host.key`), empty for any."""

    task: str
    run: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class NewTaskLink:
    """A draft of a task: its text, and `organization/repository` or nothing."""

    text: str
    repository: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class ServerLink:
    """An MCP server by its id or its title."""

    server: str
    host: str = ""


@dataclass(frozen=True, slots=True)
class IntegrationLink:
    """The end of a connection of GitHub for a project, by its id. `error` is a code where it failed, empty otherwise.

    `installation` is the code host's id of what was connected, empty where the link does not say it.
    """

    project: int
    installation: str = ""
    failed: bool = False
    error: str = ""
    host: str = ""


ShowingLink = TaskLink | NewTaskLink | ServerLink
Link = ShowingLink | IntegrationLink


def parse_link(text: str) -> Link:
    """Read a link.

    In the query `+` is a space, as browsers write forms. Raises `Rejected` (attr `link`), whose cause names what is
    wrong and never repeats more than a name of the link.
    """
    if len(text) > LONGEST_LINK:
        raise _refused("It is too long.")
    scheme, separator, rest = text.partition("://")
    if scheme != SCHEME or not separator:
        raise _refused("It does not begin with burrow://.")
    if "#" in rest:
        raise _refused("It has a fragment (#).")
    if not CHARACTERS.fullmatch(rest):
        raise _refused("It has characters that a link has to write with %.")
    path, question, query = rest.partition("?")
    kind, _, tail = path.partition("/")
    if "@" in kind or ":" in kind:
        raise _refused("It names a user or a port.")
    given = _parameters(query) if question else {}
    host = _host(given.pop("host", ""))
    link: Link
    if kind == "task":
        link = _task(tail, host)
    elif kind == "new":
        link = _new(tail, given, host)
    elif kind == "server":
        link = ServerLink(_name(_decoded(tail, plus=False)), host)
    elif kind == "integration":
        link = _integration(tail, given, host)
    else:
        raise _refused("It opens nothing that this version of Burrow knows.")
    if given:
        raise _refused(f"“{revealed_name(next(iter(given)))[:LONGEST_NAME]}” is not known here.")
    return link


def write_link(link: Link) -> str:
    """The link in the one spelling that `parse_link` reads as the same."""
    given: dict[str, str] = {}
    if isinstance(link, TaskLink):
        path = f"task/{link.task}/run/{link.run}" if link.run else f"task/{link.task}"
    elif isinstance(link, ServerLink):
        path = f"server/{quote(link.server, safe='')}"
    elif isinstance(link, IntegrationLink):
        path = "integration"
        given |= {"provider": GITHUB, "project_id": str(link.project)}
        if link.installation:
            given["installation_id"] = link.installation
        given["status"] = ERROR if link.failed else SUCCESS
        if link.error:
            given["error_code"] = link.error
    else:
        path = "new"
        given["text"] = link.text
        if link.repository:
            given["repository"] = link.repository
    if link.host:
        given["host"] = link.host
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in given.items())
    return f"{SCHEME}://{path}{'?' if query else ''}{query}"


def _task(tail: str, host: str) -> TaskLink:
    parts = tail.split("/")
    if len(parts) not in {1, 3} or (len(parts) == 3 and parts[1] != "run"):
        raise _refused("It names no task.")
    if not all(ID.fullmatch(part) for part in parts):
        raise _refused("It names no task.")
    return TaskLink(parts[0], parts[2] if len(parts) == 3 else "", host)


def _new(tail: str, given: dict[str, str], host: str) -> NewTaskLink:
    if tail:
        raise _refused("It has a path where none belongs.")
    text = given.pop("text", "").replace("\r\n", "\n")
    repository = given.pop("repository", "")
    if not text.strip():
        raise _refused("It has no text for the task.")
    if len(text.encode()) > LONGEST_TEXT:
        raise _refused("Its text is too long.")
    # Marks stand for what cannot be seen. Tabs and returns have none, as ordinary text has them.
    if revealed(text) != text or "\t" in text or "\r" in text:
        raise _refused("Its text has characters that cannot be seen.")
    if GAP.search(text.strip()):
        raise _refused("Its text goes on behind a large gap.")
    if repository and not REPOSITORY.fullmatch(repository):
        raise _refused("Its repository is not written as organization/repository.")
    return NewTaskLink(text, repository, host)


def _integration(tail: str, given: dict[str, str], host: str) -> IntegrationLink:
    if tail:
        raise _refused("It has a path where none belongs.")
    if given.pop("provider", "") != GITHUB:
        raise _refused("It is about a service that this version of Burrow does not know.")
    project, installation = given.pop("project_id", ""), given.pop("installation_id", "")
    if not PROJECT.fullmatch(project):
        raise _refused("It names no project.")
    if installation and not ID.fullmatch(installation):
        raise _refused("What it says was connected has no such name.")
    status, code, message = given.pop("status", SUCCESS), given.pop("error_code", ""), given.pop("error_message", "")
    if status not in {SUCCESS, ERROR} or (status == SUCCESS and (code or message)):
        raise _refused("It does not say how the connection ended.")
    # Words of others are not shown as Burrow's, so the message is checked for its size only.
    if (code and not CODE.fullmatch(code)) or len(message) > LONGEST_TEXT:
        raise _refused("Its error is no error that there can be.")
    return IntegrationLink(int(project), installation, status == ERROR, code, host)


def _name(name: str) -> str:
    if not name or name != name.strip() or len(name) > LONGEST_NAME:
        raise _refused("It names no server.")
    # A slash would name a tool of a server.
    if revealed_name(name) != name or "/" in name:
        raise _refused("The name of its server has characters that do not belong there.")
    return name


def _host(named: str) -> str:
    """The key of a host. Only its own spelling counts, so that two links never look different and mean the same."""
    if named in {"", WORKSPACE}:
        return named
    try:
        host = parse_host(named)
    except Rejected:
        raise _refused("It names no host.") from None
    if host.key != named:
        raise _refused("It spells its host in an unusual way.")
    return named


def _parameters(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in query.split("&"):
        name, separator, value = part.partition("=")
        name = _decoded(name, plus=True)
        if not separator or not name or not value:
            raise _refused("It has a parameter without a name or a value.")
        if name in found:
            raise _refused(f"“{revealed_name(name)[:LONGEST_NAME]}” is there twice.")
        found[name] = _decoded(value, plus=True)
    return found


def _decoded(part: str, *, plus: bool) -> str:
    """What is percent-encoded, decoded once."""
    if ESCAPE.search(part):
        raise _refused("It has a % that is not followed by two digits.")
    if plus:
        part = part.replace("+", " ")
    # Everything else is ASCII by now.
    raw = re.sub(rb"%(..)", lambda found: bytes.fromhex(found[1].decode()), part.encode("ascii"), flags=re.DOTALL)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _refused("It is not UTF-8.") from None


def _refused(cause: str) -> Rejected:
    return Rejected(cause, Facts(attr="link"), action="Ask whoever made the link.")
