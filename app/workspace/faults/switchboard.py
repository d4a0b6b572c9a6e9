"""The routes of the fault switchboard. Without the secret of the ready line they answer 404.

Two kinds of faults. Some really happen: tokens are deleted, grants revoked, the clock moves, and what follows is the
server's normal behaviour. The others are rules: `app.workspace.web.guard` answers, delays or drops matching requests
before or after the view. Rules never apply to the switchboard itself, so every fault can be lifted again.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Route

from app.workspace.faults import mcp, runs, vendors
from app.workspace.oauth import grants
from app.workspace.oauth.state import OAuthState
from app.workspace.runtime.context import Workspace, workspace_of
from app.workspace.runtime.fault_rules import FAULTS_PREFIX, FaultRule, TooManyRules
from app.workspace.web.errors import reply, validation
from app.workspace.web.fields import checked_text, choice, integer, json_object, mapping, number, required, text
from app.workspace.web.secret import require_secret

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

TOKEN_PATH = "/oauth/token"
DROPS = ("before_commit", "after_commit")
LONGEST_DELAY = 600.0
MOST_TIMES = 1_000_000
FURTHEST_CLOCK = 10 * 365 * 86_400.0

Switch = Callable[[Workspace, dict[str, object]], Awaitable[object]]
PART_SWITCHES: dict[str, Switch] = {"mcp": mcp.switch, "runs": runs.switch, "vendor": vendors.switch}
"""The switches that are modules of their own; `GET state` lists their names."""


def routes() -> list[BaseRoute]:
    """One route for each switch, and one that reads the state."""
    switches: dict[str, Switch] = {
        "reset": _reset,
        "kill-access-token": _kill_access_tokens,
        "revoke-grant": _revoke_grants,
        "scope-ceiling": _scope_ceiling,
        "advance-clock": _advance_clock,
        "token-endpoint": _token_endpoint,
        "path": _path,
        "slow": _slow,
        **PART_SWITCHES,
    }
    return [
        Route(f"{FAULTS_PREFIX}/state", _state, methods=["GET"]),
        *(Route(f"{FAULTS_PREFIX}/{name}", _view(switch), methods=["POST"]) for name, switch in switches.items()),
    ]


def _view(switch: Switch) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        require_secret(request)
        try:
            return reply(await switch(workspace_of(request), await json_object(request)))
        except TooManyRules:
            raise validation("Too many fault rules; reset first.") from None

    return serve


async def _state(request: Request) -> Response:
    require_secret(request)
    workspace = workspace_of(request)
    now = workspace.clock.now()
    live = await workspace.db.read(lambda db: grants.live_summary(db, now))
    key = await workspace.db.read(
        lambda db: db.execute("SELECT value FROM meta WHERE name = 'personal_api_key'").fetchone()
    )
    return reply(
        {
            "counters": workspace.counters.as_json(),
            "rules": [rule.as_json() for rule in workspace.faults.rules],
            "personal_api_key": None if key is None else key[0],
            "grants": live,
            "now": now,
            "now_iso": datetime.fromtimestamp(now, UTC).isoformat(),
            "clock_offset": workspace.clock.offset,
            "switches": sorted(PART_SWITCHES),
        }
    )


async def _reset(workspace: Workspace, _body: dict[str, object]) -> object:
    workspace.faults.clear()
    workspace.state(OAuthState).registrations.reset()
    mcp.reset(workspace)
    runs.reset(workspace)
    workspace.counters.reset()
    workspace.clock.offset = 0.0
    await workspace.db.run(grants.lift_ceilings)
    return {"reset": True}


async def _kill_access_tokens(workspace: Workspace, body: dict[str, object]) -> object:
    client = text(body, "client_id")
    return {"killed": await workspace.db.run(lambda db: grants.kill_access_tokens(db, client))}


async def _revoke_grants(workspace: Workspace, body: dict[str, object]) -> object:
    client = text(body, "client_id")
    because = choice(body, "reason", tuple(grants.REVOKED_WORDS)) or "access"
    now = workspace.clock.now()
    revoked = await workspace.db.run(lambda db: grants.revoke_all(db, client, because, now))
    workspace.counters.grants_revoked += revoked
    return {"revoked": revoked}


async def _scope_ceiling(workspace: Workspace, body: dict[str, object]) -> object:
    """Lower the scopes of a client; its next refresh gets fewer, or `invalid_grant` when none are left."""
    client = text(body, "client_id", needed=True) or ""
    scope = text(body, "scope", needed=True) or ""
    return {"clients": await workspace.db.run(lambda db: grants.set_ceiling(db, client, scope))}


async def _advance_clock(workspace: Workspace, body: dict[str, object]) -> object:
    required(body, "seconds")
    seconds = number(body, "seconds", minimum=-FURTHEST_CLOCK, maximum=FURTHEST_CLOCK) or 0.0
    if abs(workspace.clock.offset + seconds) > FURTHEST_CLOCK:
        raise validation("The clock would be too far away.", "seconds", "invalid")
    workspace.clock.advance(seconds)
    return {"now": workspace.clock.now(), "clock_offset": workspace.clock.offset}


async def _token_endpoint(workspace: Workspace, body: dict[str, object]) -> object:
    """A rule for the token endpoint. A 503 without a body gets the one that PostHog sends."""
    rule = _rule(body, TOKEN_PATH, "POST")
    rule.kind = "token-endpoint"
    if rule.status == 503 and "body" not in body:
        rule.body = json.dumps(grants.TEMPORARILY_UNAVAILABLE).encode()
        rule.headers.setdefault("Retry-After", "1")
    return workspace.faults.add(rule).as_json()


async def _path(workspace: Workspace, body: dict[str, object]) -> object:
    path = checked_text(required(body, "path"), "path", maximum=2000, blank=False)
    method = text(body, "method", maximum=20)
    return workspace.faults.add(_rule(body, path, method.upper() if method else None)).as_json()


async def _slow(workspace: Workspace, body: dict[str, object]) -> object:
    """Delay every request (under a path) until it is lifted with 0 seconds; a new delay replaces the former one."""
    required(body, "seconds")
    seconds = number(body, "seconds", minimum=0, maximum=LONGEST_DELAY) or 0.0
    path = text(body, "path", maximum=2000)
    workspace.faults.remove("slow", path)
    if seconds:
        workspace.faults.add(FaultRule(0, path or "*", delay=seconds, left=None, kind="slow"))
    return {"seconds": seconds, "path": path}


def _rule(body: Mapping[str, object], path: str, method: str | None) -> FaultRule:
    status = integer(body, "status", minimum=200, maximum=599)
    drop = choice(body, "drop", DROPS)
    delay = number(body, "delay", minimum=0, maximum=LONGEST_DELAY) or 0.0
    if status is None and drop is None and not delay:
        raise validation("Give a status, a drop or a delay.", "status", "required")
    answer = body.get("body", "")
    headers = {}
    for name, value in (mapping(body, "headers") or {}).items():
        headers[_header(name, "headers")] = _header(value, "headers")
    return FaultRule(
        id=0,
        path=path,
        method=method,
        status=status,
        body=answer.encode("utf-8", "replace") if isinstance(answer, str) else json.dumps(answer).encode(),
        content_type=_header(text(body, "content_type") or "application/json", "content_type"),
        headers=headers,
        delay=delay,
        drop=drop,
        left=integer(body, "times", minimum=1, maximum=MOST_TIMES) or 1,
    )


def _header(value: object, attr: str) -> str:
    found = checked_text(value, attr, maximum=4000)
    if not found.isascii() or not found.isprintable():
        raise validation("Not a valid header.", attr, "invalid")
    return found
