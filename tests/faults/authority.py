"""A scripted authorization server that registers clients and takes whoever opens its consent page for one who agrees.

With it a person who does as the address says, and a session that is signed in to it through the browser.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from app.core.auth.credential import Credential
from app.core.auth.grant.files import GrantFiles
from app.core.auth.http.clients import HttpClients
from app.core.auth.oauth.authorization_server import AuthorizationServer
from app.core.auth.oauth.sign_in import BrowserSignIn
from app.core.auth.vault.vaults import MemoryVault
from app.core.fetcher import Fetcher
from app.core.hosts import Host
from app.core.posthog.profile import posthog_profile
from tests.core.conftest import Remembered, Rig
from tests.core.scripted import Handler, Issuer, Reply, Request, ScriptedServer

AUTHORIZE, REGISTER, TOKEN, REVOKE = "/oauth/authorize/", "/oauth/register/", "/oauth/token/", "/oauth/revoke/"
UNKNOWN = Reply(400, {"error": "invalid_request", "error_description": "Unknown client_id here."})
NO_CLIENT = Reply(401, {"error": "invalid_client"})


@dataclass(frozen=True)
class Asked:
    """An authorization request that waits for its exchange."""

    client_id: str
    redirect_uri: str
    challenge: str
    scope: str


class Authority(Issuer):
    """Registers clients and forgets them; what the person may grant is `allowed`, None for everything."""

    def __init__(self, server: ScriptedServer, *, lifetime: Any = 3600) -> None:
        self.issuer_suffix = ""
        self.clients: dict[str, str] = {}
        """The redirect URI of each client that is known."""
        self.registered: list[dict[str, Any]] = []
        self.known_at_the_token_endpoint = True
        self.refusal = UNKNOWN
        self.allowed: frozenset[str] | None = None
        self.denies = False
        self._codes: dict[str, Asked] = {}
        super().__init__(server, lifetime=lifetime)
        server.views[REGISTER] = self._register
        server.views[AUTHORIZE] = self._authorize

    @property
    def refreshes(self) -> int:
        """Refresh requests so far."""
        return sum(request.form["grant_type"] == "refresh_token" for request in self.posts(TOKEN))

    @property
    def scopes(self) -> frozenset[str]:
        """What the current token grants."""
        return frozenset(str(self.pair["scope"]).split())

    def posts(self, path: str) -> list[Request]:
        return [request for request in self.server.seen if request.path == path]

    def forget(self) -> None:
        """As a server does whose database was made anew."""
        self.clients.clear()

    def needs(self, *scopes: str, then: Handler | None = None) -> Handler:
        """A view that refuses before it does anything unless the token grants `scopes`."""

        def view(request: Request) -> Any:
            if request.bearer != self.access_token:
                return Reply(401, {"code": "authentication_failed"})
            if self.scopes.issuperset(scopes):
                return Reply(200, {"ok": True}) if then is None else then(request)
            challenge = f'Bearer error="insufficient_scope", scope="{" ".join(scopes)}"'
            return Reply(403, "This needs more.", {"WWW-Authenticate": challenge})

        return view

    def _metadata(self, request: Request) -> Reply:
        answer = super()._metadata(request)
        assert isinstance(answer.body, dict)
        return Reply(200, {**answer.body, "issuer": self._issuer})

    @property
    def _issuer(self) -> str:
        return self.server.origin + self.issuer_suffix

    def _register(self, request: Request) -> Reply:
        asked = httpx.Response(200, content=request.body).json()
        self.registered.append(asked)
        client_id = f"client-{len(self.registered)}"
        self.clients[client_id] = asked["redirect_uris"][0]
        return Reply(201, {"client_id": client_id})

    def _authorize(self, request: Request) -> Reply:
        asked = {name: values[0] for name, values in request.query.items()}
        redirect = urlsplit(asked["redirect_uri"])
        registered = urlsplit(self.clients.get(asked["client_id"], ""))
        if (redirect.hostname, redirect.path) != (registered.hostname, registered.path):
            return self.refusal
        if self.denies:
            answer = urlencode({"error": "access_denied", "state": asked["state"], "iss": self._issuer})
            return Reply(302, b"", {"Location": f"{asked['redirect_uri']}?{answer}"})
        code = f"code-{len(self._codes)}"
        self._codes[code] = Asked(asked["client_id"], asked["redirect_uri"], asked["code_challenge"], asked["scope"])
        answer = urlencode({"code": code, "state": asked["state"], "iss": self._issuer})
        return Reply(302, b"", {"Location": f"{asked['redirect_uri']}?{answer}"})

    async def _token(self, request: Request) -> Reply:
        form = request.form
        if form["client_id"] not in self.clients or not self.known_at_the_token_endpoint:
            return NO_CLIENT
        if form["grant_type"] == "refresh_token":
            return await super()._token(request)
        asked = self._codes.pop(form["code"])
        verifier = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        assert (asked.client_id, asked.redirect_uri) == (form["client_id"], form["redirect_uri"])
        assert asked.challenge == verifier.decode()
        granted = [scope for scope in asked.scope.split() if self.allowed is None or scope in self.allowed]
        self.extra["scope"] = " ".join(granted)
        self.pair = {**self._issue(), **self.extra}
        return Reply(200, self.pair)


@asynccontextmanager
async def browser_client(
    folder: Path, *, client_id: str | None = None, remembered: Remembered | None = None
) -> AsyncIterator[tuple[Rig, Authority]]:
    """A client of a scripted authority, signed out so far."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ScriptedServer())
        authority = Authority(server)
        if client_id is not None:
            authority.clients[client_id] = "http://127.0.0.1/callback"
        host = Host("scripted", "Scripted", server.origin, f"{server.origin}/mcp", client_id)
        transport, kept, vault = HttpClients(), remembered or Remembered(), MemoryVault()
        stack.push_async_callback(transport.close)
        oauth = AuthorizationServer(transport, posthog_profile(host))
        session = Credential(oauth, GrantFiles(folder, "grant"), kept, folder, vault=vault)
        stack.push_async_callback(session.close)
        fetcher = Fetcher(transport, session, host)
        yield Rig(server, authority, session, fetcher, transport, kept, folder, vault, host), authority


async def visit(address: str) -> httpx.Response:
    """What the browser shows at an address, where it was sent on to."""
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as browser:
        return await browser.get(address)


async def agree(sign_in: BrowserSignIn) -> httpx.Response:
    """Open the consent page as it is addressed now; what the browser shows in the end."""
    return await visit(sign_in.url)


async def sign_in_at(session: Credential, scopes: Iterable[str] = ()) -> None:
    """The whole way: to the browser, there, and back."""
    sign_in = await session.begin_sign_in(scopes=scopes, open_browser=False)
    finishing = asyncio.create_task(sign_in.finish())
    page = await agree(sign_in)
    assert page.status_code == 200, page.text
    await finishing
