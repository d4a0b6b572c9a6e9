"""GitHub as a host knows it: who is connected, repositories, branches (docs/wire.md, "Repositories").

A person may have connected GitHub themselves, and a project for its team. The person's own connection goes first:
pull requests are then theirs. On a host with neither, the repositories are those that tasks name.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from app.core.errors import Facts, NotFound, PermissionMissing, Rejected, Throttled
from app.core.events import Event
from app.core.posthog.types import Value
from app.core.posthog.wire import segment
from app.core.urls import origin_if_any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.fetcher import Answer, Fetcher
    from app.core.hosts import Host

PAGE = 100
# How long it is believed who is connected.
KEPT_SECONDS = 60.0
# The server allows ten refreshes a minute to a whole team.
REFRESHES, REFRESH_SECONDS = 8, 60.0
CONNECT_FROM = "posthog_code"
# How long a browser may take to come back (docs/wire.md, "Repositories").
CONNECT_SECONDS = 300.0


class GitHubConnection(Value, frozen=True):
    """A connection to GitHub. `personal` says whether it is the person's own; `id` is that of the integration.

    `account` is the name of the account or organisation on GitHub, where the server says it.
    """

    id: str
    personal: bool
    account: str = ""
    installation: str = ""


class NamesPage(Value, frozen=True):
    """A part of a list that is searched on the server. `following` is the offset of the next part, None at the end.

    `default` is the one among them that is meant where none is chosen. `connected` says whether GitHub was asked.
    """

    items: tuple[str, ...] = ()
    following: int | None = None
    default: str = ""
    connected: bool = True


class _Account(msgspec.Struct):
    name: str | None = None


class _Integration(msgspec.Struct):
    id: int | str | None = None
    kind: str | None = None
    installation_id: int | str | None = None
    account: _Account | None = None
    display_name: str | None = None


class _Integrations(msgspec.Struct):
    results: list[_Integration] | None = None


class _Listed(msgspec.Struct):
    repositories: list[object] | None = None
    results: list[object] | None = None
    branches: list[object] | None = None
    default_branch: str | None = None
    has_more: bool | None = None


class _Start(msgspec.Struct):
    install_url: str | None = None


class GitHub:
    """GitHub for one project of one account. Every method sends requests and raises `BurrowError`.

    `project` returns the current project's id; `named` the repositories that its tasks name.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        host: Host,
        project: Callable[[], int],
        named: Callable[[], Awaitable[tuple[str, ...]]],
    ) -> None:
        self._fetcher, self._host, self._project, self._named = fetcher, host, project, named
        self._connected: dict[int, tuple[float, tuple[GitHubConnection, ...]]] = {}
        self._refreshed: deque[float] = deque(maxlen=REFRESHES)
        # When the person was sent to connect GitHub, by the project.
        self._began: dict[int, float] = {}
        self.came_back: Event[None] = Event()
        """The person's browser came back from where GitHub is connected. Lists that were read before may be others."""

    async def connections(self, *, again: bool = False) -> tuple[GitHubConnection, ...]:
        """The connections, the person's own first; none on a host without them, or that does not permit the question.

        The answer is kept for a minute; `again` asks anew.
        """
        project = self._project()
        asked, known = self._connected.get(project, (0.0, ()))
        if not again and asked and monotonic() - asked < KEPT_SECONDS:
            return known
        found = (
            *await self._integrations("/api/users/@me/integrations/", personal=True),
            *await self._integrations(f"/api/environments/{project}/integrations/", personal=False),
        )
        self._connected[project] = monotonic(), found
        return found

    async def repositories(self, search: str = "", offset: int = 0, *, limit: int = PAGE) -> NamesPage:
        """Repositories whose names contain `search`, as `organization/name` in lower case."""
        connected = await self._first()
        if connected is None:
            part = _part(await self._named(), search, offset, limit)
            return msgspec.structs.replace(part, connected=False)
        listing = "repos" if connected.personal else "github_repos"
        answer = await self._fetcher.get(
            f"{self._path(connected)}{listing}/",
            params={"offset": offset, "limit": limit, "search": search.strip() or None},
        )
        return _choices(answer, search, offset, limit, lower=True)

    async def branches(self, repository: str, search: str = "", offset: int = 0, *, limit: int = PAGE) -> NamesPage:
        """Branches of a repository whose names contain `search`; none where nobody is connected to GitHub."""
        connected = await self._first()
        if connected is None or not repository:
            return NamesPage(connected=False)
        listing = "branches" if connected.personal else "github_branches"
        answer = await self._fetcher.get(
            f"{self._path(connected)}{listing}/",
            params={"repo": repository, "offset": offset, "limit": limit, "search": search.strip() or None},
        )
        return _choices(answer, search, offset, limit, lower=False)

    async def refresh_repositories(self) -> None:
        """Have the server ask GitHub which repositories there are.

        A team may do that ten times a minute, so Burrow does it eight times at most and raises `Throttled` then.
        """
        connected = await self._first()
        if connected is None:
            return
        now = monotonic()
        if len(self._refreshed) == REFRESHES and now - self._refreshed[0] < REFRESH_SECONDS:
            pause = REFRESH_SECONDS - (now - self._refreshed[0])
            raise Throttled(
                "The list was refreshed several times within a minute.",
                Facts(retry_after=pause, origin=self._host.origin),
                action=f"Wait {int(pause) + 1} seconds, then refresh it again.",
            )
        self._refreshed.append(now)
        listing = "repos" if connected.personal else "github_repos"
        await self._fetcher.request("POST", f"{self._path(connected)}{listing}/refresh/", idempotent=True)

    async def address_to_connect(self) -> str:
        """Where a browser connects GitHub for the person. Raises `Rejected` where the server names no address."""
        project = self._project()
        address = await self._address(project)
        self._began[project] = monotonic()
        return address

    async def _address(self, project: int) -> str:
        try:
            answer = await self._fetcher.request(
                "POST",
                "/api/users/@me/integrations/github/start/",
                body={"team_id": project, "connect_from": CONNECT_FROM},
                idempotent=True,
            )
            address = answer.decode(_Start).install_url or ""
        except NotFound:
            back = f"/account-connected/github-login?provider=github&project_id={project}&connect_from={CONNECT_FROM}"
            path = f"/api/environments/{project}/integrations/authorize/"
            return f"{self._host.origin}{path}?kind=github&next={quote(back, safe='')}"
        origin = origin_if_any(address)
        if origin is None or not (origin.startswith("https://") or origin == self._host.origin):
            raise Rejected("The server named no address at which GitHub can be connected.", Facts(origin=origin))
        return address

    def take_beginning(self, project: int) -> bool:
        """Whether the person was sent to connect GitHub for this project within the last five minutes. True once."""
        return monotonic() - self._began.pop(project, -CONNECT_SECONDS) < CONNECT_SECONDS

    def come_back(self) -> None:
        """Tell those who show repositories that they may be others now."""
        self.forget()
        self.came_back.emit(None)

    def forget(self) -> None:
        """Ask anew who is connected, the next time that it matters."""
        self._connected.clear()

    async def _first(self) -> GitHubConnection | None:
        return next(iter(await self.connections()), None)

    async def _integrations(self, path: str, *, personal: bool) -> tuple[GitHubConnection, ...]:
        try:
            answer = await self._fetcher.get(path)
        except (NotFound, PermissionMissing):
            # An older server, or a sign-in without that permission: runs are started all the same.
            return ()
        found = []
        for each in answer.decode(_Integrations).results or ():
            # A person's own one is addressed by its installation.
            number = each.installation_id if personal else each.id
            if each.kind == "github" and number is not None:
                name = (each.account.name if each.account is not None else None) or each.display_name or ""
                found.append(GitHubConnection(str(each.id or number), personal, name, str(number) if personal else ""))
        return tuple(found)

    def _path(self, connected: GitHubConnection) -> str:
        if connected.personal:
            return f"/api/users/@me/integrations/github/{segment(connected.installation)}/"
        return f"/api/environments/{self._project()}/integrations/{segment(connected.id)}/"


def _choices(answer: Answer, search: str, offset: int, limit: int, *, lower: bool) -> NamesPage:
    """What servers of all versions answer: the list itself, or in `repositories`, `results` or `branches`."""
    if answer.content.lstrip()[:1] == b"[":
        # The whole list, of a server that knows neither search nor parts.
        return _part(tuple(filter(None, map(_name, answer.decode(list[object])))), search, offset, limit, lower=lower)
    listed = answer.decode(_Listed)
    raw = next((each for each in (listed.repositories, listed.results, listed.branches) if each is not None), [])
    names = tuple(dict.fromkeys(name.lower() if lower else name for name in map(_name, raw) if name))
    if listed.has_more is None:
        return msgspec.structs.replace(
            _part(names, search, offset, limit, lower=lower), default=listed.default_branch or ""
        )
    following = offset + len(raw) if listed.has_more and raw else None
    return NamesPage(names, following, listed.default_branch or "")


def _part(names: tuple[str, ...], search: str, offset: int, limit: int, *, lower: bool = True) -> NamesPage:
    wanted = search.strip().casefold()
    spelled = dict.fromkeys(name.lower() if lower else name for name in names)
    found = [name for name in spelled if wanted in name.casefold()]
    end = offset + limit
    return NamesPage(tuple(found[offset:end]), end if end < len(found) else None)


def _name(item: object) -> str:
    """The name of a repository or branch, which is a text or an object with it; empty if it is neither."""
    if isinstance(item, dict):
        item = item.get("full_name") or item.get("name")
    return item.strip() if isinstance(item, str) else ""
