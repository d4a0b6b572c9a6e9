"""Accounts: the signed-in user and their projects (docs/wire.md, "Users, organisations and projects")."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec

from app.core.errors import BurrowError, NotFound, PermissionMissing, SignInNeeded
from app.core.posthog.types import Project, User
from app.core.posthog.wire import decode_items, decode_one, segment

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from typing import Any

    from app.core.fetcher import Fetcher

log = logging.getLogger(__name__)


class _Organization(msgspec.Struct):
    teams: list[msgspec.Raw] = []


class Accounts:
    """Every method sends requests and raises `BurrowError`."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def me(self) -> User:
        """The signed-in user."""
        # This works with every token that has `user:read`, whatever projects it is limited to.
        return decode_one(await self._fetcher.get("/api/users/@me/"), User)

    async def projects(self, teams: Sequence[int], organizations: Sequence[str], me: User) -> tuple[Project, ...]:
        """The projects of a token that is limited to `teams` or `organizations`; both empty means no limit.

        See docs/wire.md, "Building the list of projects". What cannot be read is left out. If all is refused, the
        user's current project is the list. Raises `SignInNeeded`, or the first other failure when the list would be
        empty because of it.
        """
        if teams:
            requests: list[Coroutine[Any, Any, Sequence[Project]]] = [self._team(team) for team in dict.fromkeys(teams)]
        else:
            own = [me.organization, *me.organizations]
            ids = organizations or [organization.id for organization in own if organization is not None]
            requests = [self._organization(organization) for organization in dict.fromkeys(ids)]
        answers = await asyncio.gather(*requests, return_exceptions=True)
        found: dict[int, Project] = {}
        failures: list[BurrowError] = []
        for answer in answers:
            if isinstance(answer, BurrowError):
                failures.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                for project in answer:
                    found.setdefault(project.id, project)
        for failure in failures:
            log.warning("some projects could not be read: %s", failure)
            if isinstance(failure, SignInNeeded):
                raise failure
        if found:
            return tuple(found.values())
        # A token that is limited to projects may not list organisations, but `@me` names one of its projects. After any
        # other failure the list would be wrong, so that failure is raised.
        refused = all(isinstance(failure, (NotFound, PermissionMissing)) for failure in failures)
        if refused and me.team is not None and (not teams or me.team.id in teams):
            return (me.team,)
        if failures:
            raise failures[0]
        return ()

    async def _team(self, team: int) -> Sequence[Project]:
        return [decode_one(await self._fetcher.get(f"/api/projects/{segment(team)}/"), Project)]

    async def _organization(self, organization: str) -> Sequence[Project]:
        answer = await self._fetcher.get(f"/api/organizations/{segment(organization)}/")
        projects = decode_items(answer.decode(_Organization).teams, Project)
        return [
            project if project.organization else msgspec.structs.replace(project, organization=organization)
            for project in projects
        ]
