"""The authorization endpoint: checks the request, asks for consent, answers with `state` and `iss`.

See docs/wire.md, "Authorization request". PKCE with S256 is required of every client. While the client or its redirect
URI is in doubt, errors are shown here; all others are sent to the redirect URI.

Every user of this machine can reach the workspace, so an approval needs a proof that it comes from its owner, who alone
can read the workspace's secret. Three things that the secret buys are such a proof, each once: a login ticket, which
stands for a person who has already approved; a page ticket, with which Burrow opens the consent page of one request; a
code, which a person types where the page was opened by hand.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app.workspace.oauth import grants
from app.workspace.oauth.clients import SELF_SERVE, find_client, unique_scopes
from app.workspace.oauth.consent_page import (
    ALL,
    LEVELS,
    ORGANIZATION,
    TEAM,
    ConsentOption,
    ConsentPage,
    code_page,
    consent_page,
    message_page,
)
from app.workspace.oauth.grants import ConsentedAccess
from app.workspace.oauth.redirect_uris import form_action_source, is_allowed, with_query
from app.workspace.oauth.state import LETTERS, OAuthState, PendingAuthorization
from app.workspace.oauth.wire import OAuthError, once, parameters
from app.workspace.runtime.context import workspace_of
from app.workspace.web.errors import reply, validation
from app.workspace.web.fields import choice, json_object, text
from app.workspace.web.secret import require_secret

if TYPE_CHECKING:
    import sqlite3

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from app.workspace.oauth.clients import OAuthClient
    from app.workspace.runtime.context import Workspace

# SHA-256 in base64url without padding (RFC 7636, section 4.2).
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
LEVEL_HINTS = {"project": TEAM, "team": TEAM, "organization": ORGANIZATION}
# The pages ask for no password: whoever opens them is the person of the seed.
USER_ID = 1
NO_LONGER_VALID = ("This page is no longer valid", "Start the sign-in again from the application.")
WRONG_CODE = "This is not a code that Burrow shows now. Each works once, for five minutes."
NO_CACHE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


@dataclass(frozen=True)
class ConsentingUser:
    """The person who signs in here, and what their grants can be limited to."""

    name: str
    organization: str
    project: int
    organizations: tuple[ConsentOption, ...]
    projects: tuple[ConsentOption, ...]


class RedirectedError(Exception):
    """A refusal that is sent to the client's redirect URI."""

    def __init__(self, error: str, description: str | None = None) -> None:
        super().__init__(error)
        self.values = {"error": error}
        if description:
            self.values["error_description"] = description


def routes() -> list[BaseRoute]:
    paths = ("/oauth/authorize", "/oauth/authorize/")
    return [
        *(Route(path, authorize, methods=["GET"]) for path in paths),
        *(Route(path, decide, methods=["POST"]) for path in paths),
        Route("/_tickets", ticket, methods=["POST"]),
        Route("/_tickets/page", page_ticket, methods=["POST"]),
        Route("/_tickets/code", code_for_person, methods=["POST"]),
    ]


async def ticket(request: Request) -> Response:
    """A login ticket for the holder of the workspace's secret: it works once, within 60 seconds.

    An optional `access_level` (`all`, `organization`, `team`) limits the grant that it leads to.
    """
    require_secret(request)
    workspace = workspace_of(request)
    level = choice(await json_object(request), "access_level", LEVELS) or ALL
    return reply({"ticket": workspace.state(OAuthState).tickets.put(level, workspace.clock.now())}, 200, NO_CACHE)


async def page_ticket(request: Request) -> Response:
    """A ticket for the holder of the secret that opens one consent page: of the request with this `code_challenge`.

    The address of a page is no secret: it is in the browser's command line and in its history. So the ticket is of no
    use for another request. It works once, within 60 seconds.
    """
    require_secret(request)
    workspace = workspace_of(request)
    challenge = text(await json_object(request), "code_challenge") or ""
    if not CHALLENGE.fullmatch(challenge):
        raise validation("This is not an S256 challenge.", "code_challenge")
    ticket = workspace.state(OAuthState).page_tickets.put(challenge, workspace.clock.now())
    return reply({"ticket": ticket}, 200, NO_CACHE)


async def code_for_person(request: Request) -> Response:
    """A code for the holder of the secret, to be typed into a consent page: it works once, within five minutes."""
    require_secret(request)
    workspace = workspace_of(request)
    code = workspace.state(OAuthState).person_codes.put(True, workspace.clock.now())
    return reply({"code": f"{code[:4]}-{code[4:]}"}, 200, NO_CACHE)


async def authorize(request: Request) -> Response:
    """Check the request; then show the consent page, or redirect at once with a login ticket."""
    workspace = workspace_of(request)
    given = once(request.query_params.multi_items())
    client, redirect_uri = await _client_and_redirect(workspace, given)
    state = given.get("state")
    try:
        pending = _checked(client, redirect_uri, state, given)
    except RedirectedError as refusal:
        return _answer(workspace, redirect_uri, state, refusal.values)
    # Only now, so that a request with a mistake does not use the ticket up.
    level = workspace.state(OAuthState).tickets.take(given.get("login_ticket", ""), workspace.clock.now())
    if level is not None:
        return await _answer_with_code(workspace, pending, _consented(pending, await workspace.db.read(_person), level))
    opened = workspace.state(OAuthState).page_tickets.take(given.get("page_ticket", ""), workspace.clock.now())
    if opened == pending.challenge:
        return await _ask(workspace, replace(pending, proven=True))
    return _ask_for_code(workspace, pending)


async def decide(request: Request) -> Response:
    """The answer of the consent form. It carries a one-time token; the request itself is kept here."""
    workspace = workspace_of(request)
    given = await parameters(request)
    # The one-time token is what a forged form lacks, and keeping the request here is why a form cannot change it.
    pending = workspace.state(OAuthState).consents.take(given.get("csrf", ""), workspace.clock.now())
    if pending is None:
        return message_page(*NO_LONGER_VALID, 403)
    if given.get("decision") == "deny":
        return _answer(workspace, pending.redirect_uri, pending.state, {"error": "access_denied"})
    if not pending.proven:
        if _takes_code(workspace, given.get("person_code", "")):
            return await _ask(workspace, replace(pending, proven=True))
        if pending.tries == 1:
            return message_page(*NO_LONGER_VALID, 403)
        return _ask_for_code(workspace, replace(pending, tries=pending.tries - 1), WRONG_CODE, 403)
    person = await workspace.db.read(_person)
    agreed = _consented(pending, person, given.get("access_level", ""), given) if _approves(given) else None
    if agreed is None:
        return await _ask(workspace, pending, "Choose what the application may access, then approve or deny.", 400)
    return await _answer_with_code(workspace, pending, agreed)


def _takes_code(workspace: Workspace, typed: str) -> bool:
    code = "".join(character for character in typed.upper() if character in LETTERS)
    return workspace.state(OAuthState).person_codes.take(code, workspace.clock.now()) is not None


async def _client_and_redirect(workspace: Workspace, given: dict[str, str]) -> tuple[OAuthClient, str]:
    """The client and its redirect URI. Raises `OAuthError`, which is answered here and not redirected.

    A redirect URI that was not registered could be an attacker's (RFC 6749, section 4.1.2.1).
    """
    client_id = given.get("client_id", "")
    client = await workspace.db.read(lambda db: find_client(db, client_id))
    if client is None:
        detail = "Unknown client_id here; if it belongs to PostHog Cloud, sign in at us.posthog.com or eu.posthog.com."
        raise OAuthError("invalid_request", detail if client_id else "Missing client_id parameter.")
    redirect_uri = given.get("redirect_uri")
    if redirect_uri is None:
        raise OAuthError("invalid_request", "Missing redirect URI.")
    if not is_allowed(client, redirect_uri):
        raise OAuthError("invalid_request", "Mismatching redirect URI.")
    # PostHog answers this one with 401 instead of a redirect (docs/wire.md, "Authorization request").
    if given.get("prompt") == "login":
        raise OAuthError("login_required", status=401)
    return client, redirect_uri


def _checked(client: OAuthClient, redirect_uri: str, state: str | None, given: dict[str, str]) -> PendingAuthorization:
    kind = given.get("response_type")
    if kind is None:
        raise RedirectedError("invalid_request", "Missing response_type parameter.")
    if kind != "code":
        raise RedirectedError("unsupported_response_type")
    challenge = given.get("code_challenge")
    if not challenge:
        raise RedirectedError("invalid_request", "Code challenge required.")
    # A method that is not named is `plain` (RFC 7636, section 4.3).
    if given.get("code_challenge_method", "plain") != "S256":
        raise RedirectedError("invalid_request", "Transform algorithm not supported.")
    if not CHALLENGE.fullmatch(challenge):
        raise RedirectedError("invalid_request", "The code challenge is not an S256 challenge.")
    if given.get("prompt") == "none":
        raise RedirectedError("consent_required")
    asked = unique_scopes(given.get("scope", ""))
    if not asked:
        asked = list(SELF_SERVE)
    level = ALL
    if client.dynamic:
        level = LEVEL_HINTS.get(given.get("required_access_level", ""), ALL)
    return PendingAuthorization(client, redirect_uri, state, tuple(client.cap(asked)), challenge, level)


def _person(db: sqlite3.Connection) -> ConsentingUser:
    user = db.execute("SELECT * FROM users WHERE id = ?", (USER_ID,)).fetchone()
    organizations = db.execute("SELECT id, name FROM organizations ORDER BY name").fetchall()
    projects = db.execute("SELECT id, name FROM projects ORDER BY id").fetchall()
    return ConsentingUser(
        f"{user['first_name']} {user['last_name']} ({user['email']})",
        user["current_organization"],
        user["current_project"],
        tuple(ConsentOption(row["id"], row["name"]) for row in organizations),
        tuple(ConsentOption(str(row["id"]), row["name"]) for row in projects),
    )


def _ask_for_code(
    workspace: Workspace, pending: PendingAuthorization, problem: str | None = None, status: int = 200
) -> Response:
    """The page that comes before the consent page where nothing has proven yet who sits there. It tells nothing."""
    csrf = workspace.state(OAuthState).consents.put(pending, workspace.clock.now())
    return code_page(csrf, form_action_source(pending.redirect_uri), problem, status)


async def _ask(
    workspace: Workspace, pending: PendingAuthorization, problem: str | None = None, status: int = 200
) -> Response:
    """The consent page."""
    person = await workspace.db.read(_person)
    target = urlsplit(pending.redirect_uri)
    held = await workspace.db.read(lambda db: grants.held(db, pending.client.client_id, USER_ID))
    level, chosen = (pending.level, "") if held is None else _level_of(held)
    page = ConsentPage(
        client_name=pending.client.name,
        unverified=pending.client.dynamic,
        person=person.name,
        scopes=pending.scopes,
        organizations=person.organizations,
        projects=person.projects,
        level=level,
        csrf=workspace.state(OAuthState).consents.put(pending, workspace.clock.now()),
        returns_to=f"{target.scheme}://{target.netloc}" if target.netloc else f"{target.scheme}:",
        redirect_source=form_action_source(pending.redirect_uri),
        held=() if held is None else tuple(held.scope.split()),
        chosen=chosen,
        problem=problem,
    )
    return consent_page(page, status)


def _level_of(agreed: ConsentedAccess) -> tuple[str, str]:
    """The access level of an approval, and the id of its organisation or project, if it is limited to one."""
    if agreed.teams:
        return TEAM, str(agreed.teams[0])
    if agreed.organizations:
        return ORGANIZATION, agreed.organizations[0]
    return ALL, ""


def _approves(given: dict[str, str]) -> bool:
    return given.get("decision") == "approve"


def _consented(
    pending: PendingAuthorization, person: ConsentingUser, level: str, given: dict[str, str] | None = None
) -> ConsentedAccess | None:
    """What a decision grants; None when it names a level, organisation or project that the person does not have.

    Without a form, as with a login ticket, a limited level means the person's current organisation or project.
    """
    scope = " ".join(pending.scopes)
    given = given or {"organization": person.organization, "team": str(person.project)}
    if level == ALL:
        return ConsentedAccess(USER_ID, scope)
    if level == ORGANIZATION:
        organization = given.get("organization")
        if any(organization == known.id for known in person.organizations):
            return ConsentedAccess(USER_ID, scope, organizations=(str(organization),))
    if level == TEAM:
        team = given.get("team")
        if any(team == known.id for known in person.projects):
            return ConsentedAccess(USER_ID, scope, teams=(int(str(team)),))
    return None


async def _answer_with_code(
    workspace: Workspace, pending: PendingAuthorization, agreed: ConsentedAccess | None
) -> Response:
    if agreed is None:
        return _answer(workspace, pending.redirect_uri, pending.state, {"error": "access_denied"})
    code = secrets.token_urlsafe(32)
    expires_at = workspace.clock.now() + workspace.settings.code_seconds
    await workspace.db.run(
        lambda db: grants.store_code(
            db, code, pending.client, agreed, pending.redirect_uri, pending.challenge, expires_at
        )
    )
    return _answer(workspace, pending.redirect_uri, pending.state, {"code": code})


def _answer(workspace: Workspace, redirect_uri: str, state: str | None, values: dict[str, str]) -> Response:
    if state is not None:
        values = {**values, "state": state}
    values = {**values, "iss": workspace.settings.url}
    return RedirectResponse(with_query(redirect_uri, values), 302, NO_CACHE)
