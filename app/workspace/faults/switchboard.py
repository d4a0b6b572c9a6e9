"""The fault switchboard: make the workspace fail on purpose, the same way for tests and for people.

Rules answer matching requests before any view sees them; `app.workspace.web.guard` applies them. The routes
under `/_faults` are guarded by the secret of the ready line and look like nothing (404) without it.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Route

from app.workspace.oauth import grants
from app.workspace.runtime.context import Workspace, workspace_of
from app.workspace.web.envelope import (
    checked_text,
    choice,
    integer,
    json_object,
    mapping,
    not_found,
    number,
    reply,
    required,
    text,
    validation,
)

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

PREFIX = "/_faults"
SECRET_HEADER = "x-workspace-secret"
TOKEN_PATH = "/oauth/token"
DROPS = ("before_commit", "after_commit")
LONGEST_DELAY = 600.0
MOST_TIMES = 1_000_000
MOST_RULES = 1000
FURTHEST_CLOCK = 10 * 365 * 86_400.0

Handler = Callable[[Workspace, dict[str, object]], Awaitable[object]]


@dataclass
class Rule:
    """Answer, delay or drop the next `left` requests to `path` (None: every one until removed)."""

    id: int
    path: str
    method: str | None = None
    status: int | None = None
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: str | None = None
    left: int | None = 1
    kind: str = "path"

    def matches(self, method: str, path: str) -> bool:
        if self.method is not None and self.method != method:
            return False
        if any(mark in self.path for mark in "*?["):
            return fnmatchcase(path, self.path)
        return path.startswith(self.path)

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "kind": self.kind,
            "path": self.path,
            "method": self.method,
            "status": self.status,
            "body": self.body.decode("utf-8", "replace"),
            "content_type": self.content_type,
            "headers": self.headers,
            "delay": self.delay,
            "drop": self.drop,
            "times": self.left,
        }


@dataclass
class Faults:
    """The rules in force, and the handlers other modules registered under `/_faults/{name}`."""

    rules: list[Rule] = field(default_factory=list)
    handlers: dict[str, Handler] = field(default_factory=dict)
    resets: list[Callable[[], None]] = field(default_factory=list)
    _next_id: int = 1

    def register(self, name: str, handler: Handler, reset: Callable[[], None] | None = None) -> None:
        """Serve `POST /_faults/{name}` with `handler(workspace, body)`; `reset` runs on `POST /_faults/reset`."""
        self.handlers[name] = handler
        if reset is not None:
            self.resets.append(reset)

    def add(self, rule: Rule) -> Rule:
        if len(self.rules) >= MOST_RULES:
            raise validation("Too many fault rules; reset first.")
        rule.id, self._next_id = self._next_id, self._next_id + 1
        self.rules.append(rule)
        return rule

    def take(self, method: str, path: str) -> tuple[Rule | None, float]:
        """The first rule that answers or drops this request, used up by one, and all delays that apply."""
        delay = 0.0
        for rule in list(self.rules):
            if not rule.matches(method, path):
                continue
            if rule.left is not None:
                rule.left -= 1
                if rule.left <= 0:
                    self.rules.remove(rule)
            delay += rule.delay
            if rule.status is not None or rule.drop is not None:
                return rule, delay
        return None, delay

    def end_slow(self, path: str | None) -> None:
        self.rules = [rule for rule in self.rules if rule.kind != "slow" or (path is not None and rule.path != path)]

    def reset(self) -> None:
        self.rules = []
        for reset in self.resets:
            reset()


def guarded(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Let a request through only with the workspace's secret; without it the route looks like nothing."""

    async def check(request: Request) -> Response:
        given = request.headers.get(SECRET_HEADER, "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, workspace_of(request).settings.secret.encode()):
            raise not_found()
        return await handler(request)

    return check


def routes() -> list[BaseRoute]:
    """The switchboard's routes."""
    posts: dict[str, Handler] = {
        "reset": _reset,
        "kill-access-token": _kill_access_tokens,
        "revoke-grant": _revoke_grants,
        "scope-ceiling": _scope_ceiling,
        "advance-clock": _advance_clock,
        "token-endpoint": _token_endpoint,
        "path": _path,
        "slow": _slow,
    }
    return [
        Route(f"{PREFIX}/state", guarded(_state), methods=["GET"]),
        *(Route(f"{PREFIX}/{name}", guarded(_posted(handler)), methods=["POST"]) for name, handler in posts.items()),
        Route(f"{PREFIX}/{{name}}", guarded(_registered), methods=["POST"]),
    ]


def _posted(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        return reply(await handler(workspace_of(request), await json_object(request)))

    return serve


async def _registered(request: Request) -> Response:
    workspace = workspace_of(request)
    handler = workspace.faults.handlers.get(str(request.path_params["name"]))
    if handler is None:
        raise not_found()
    return reply(await handler(workspace, await json_object(request)))


async def _state(request: Request) -> Response:
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
            "switches": sorted(workspace.faults.handlers),
        }
    )


async def _reset(workspace: Workspace, _body: dict[str, object]) -> object:
    workspace.faults.reset()
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
    required(body, "seconds")
    seconds = number(body, "seconds", minimum=0, maximum=LONGEST_DELAY) or 0.0
    path = text(body, "path", maximum=2000)
    workspace.faults.end_slow(path)
    if seconds:
        workspace.faults.add(Rule(0, path or "*", delay=seconds, left=None, kind="slow"))
    return {"seconds": seconds, "path": path}


def _rule(body: Mapping[str, object], path: str, method: str | None) -> Rule:
    status = integer(body, "status", minimum=200, maximum=599)
    drop = choice(body, "drop", DROPS)
    delay = number(body, "delay", minimum=0, maximum=LONGEST_DELAY) or 0.0
    if status is None and drop is None and not delay:
        raise validation("Give a status, a drop or a delay.", "status", "required")
    answer = body.get("body", "")
    headers = {}
    for name, value in (mapping(body, "headers") or {}).items():
        headers[_header(name, "headers")] = _header(value, "headers")
    return Rule(
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


async def hold(seconds: float, stopping: asyncio.Event) -> None:
    """Wait, but no longer than the workspace lives."""
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
