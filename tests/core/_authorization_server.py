"""A scripted authorization server for any resource, a resource on another origin, and a person who agrees at once.

The authorization server keeps the standards where it is strict on purpose: PKCE, the resource of a code at its exchange
(RFC 8707), one way of client authentication in a request (RFC 6749 section 2.3.1), rotation in place. What it publishes
and how it answers can be made to lie in one exact way.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import unquote_plus, urlencode, urlsplit

from tests.core.scripted import Reply, Request, ScriptedServer

OAUTH, OPENID = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
RESOURCE = "/.well-known/oauth-protected-resource"
NO_CLIENT = Reply(401, {"error": "invalid_client"})
REDIRECT_URI = "http://127.0.0.1/callback"


@dataclass
class Client:
    """A client that the server knows. `methods` are those that it takes from this client."""

    redirect_uri: str
    secret: str | None = None
    methods: frozenset[str] = frozenset({"none"})


@dataclass
class Family:
    """The tokens of one sign-in: one pair lives, and a refresh token that was spent ends all of them."""

    client_id: str
    scope: str
    resource: str | None
    number: int
    generation: int = 0
    over: bool = False
    killed: bool = False
    refreshes: int = 0

    @property
    def access_token(self) -> str:
        return f"access-{self.number}-{self.generation}-{'a' * 20}"

    @property
    def refresh_token(self) -> str:
        return f"refresh-{self.number}-{self.generation}-{'r' * 20}"

    def takes(self, token: str) -> bool:
        """Whether this is the live access token."""
        return not self.over and not self.killed and token == self.access_token


@dataclass(frozen=True)
class Asked:
    """An authorization request that waits for its exchange."""

    client_id: str
    redirect_uri: str
    challenge: str
    scope: str
    resource: str | None


@dataclass(frozen=True)
class Presented:
    """How a client authenticated in one request; `ways` must be one."""

    client_id: str
    secret: str | None
    ways: tuple[str, ...]

    @staticmethod
    def of(request: Request) -> Presented:
        form, ways = request.form, []
        client_id, secret = form.get("client_id", ""), None
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            ways.append("client_secret_basic")
            name, _, password = base64.b64decode(encoded).decode("ascii").partition(":")
            assert form.get("client_id") == unquote_plus(name), "the body names another client than the header"
            client_id, secret = unquote_plus(name), unquote_plus(password)
        if "client_secret" in form:
            ways.append("client_secret_post")
            secret = form["client_secret"]
        return Presented(client_id, secret, tuple(ways or ["none"]))


@dataclass
class ScriptedIssuer:
    """An issuer at `path` of a server, with its endpoints there."""

    server: ScriptedServer
    path: str = ""
    register_answer: dict[str, Any] = field(default_factory=dict)
    """What a registration is answered with besides the client's id; with a secret the client is a confidential one."""
    names_issuer: bool = True
    """Whether authorization responses carry `iss`."""
    signs_as: str | None = None
    """The `iss` of authorization responses in place of its own."""
    takes_resource_at_refresh: bool = True
    issues_refresh_tokens: bool = True
    compares_ports: bool = False
    """Whether a redirect URI must be one of those registered, its port included, as the MCP SDK's servers want."""
    clients: dict[str, Client] = field(default_factory=dict)
    redirects: dict[str, list[str]] = field(default_factory=dict)
    """All redirect URIs that each client registered."""
    registered: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    """The parameters of the authorization requests."""
    presented: list[Presented] = field(default_factory=list)
    """How clients authenticated at the token endpoint."""
    families: list[Family] = field(default_factory=list)
    script: list[Reply] = field(default_factory=list)
    """Answers of the token endpoint before it works again."""
    revoked: list[tuple[str, Presented]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._codes: dict[str, Asked] = {}
        self._published: tuple[str, ...] = ()
        self.metadata: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": self.at("/authorize"),
            "token_endpoint": self.at("/token"),
            "registration_endpoint": self.at("/register"),
            "revocation_endpoint": self.at("/revoke"),
            "code_challenge_methods_supported": ["plain", "S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        views = {"/authorize": self._authorize, "/token": self._token, "/register": self._register}
        self.server.views |= {self.path + name: view for name, view in views.items()}
        self.server.views[f"{self.path}/revoke"] = self._revoke
        self.publish(OAUTH + self.path)

    @property
    def issuer(self) -> str:
        return self.server.origin + self.path

    def at(self, name: str) -> str:
        return self.issuer + name

    def publish(self, *paths: str) -> Self:
        """Publish the metadata there and nowhere else."""
        for path in self._published:
            del self.server.views[path]
        self._published = paths
        self.server.views |= {path: lambda _: Reply(200, self.metadata) for path in paths}
        return self

    def knows(self, client_id: str, secret: str | None = None, *methods: str) -> None:
        """Know a client that somebody registered by hand."""
        self.clients[client_id] = Client(REDIRECT_URI, secret, frozenset(methods or ("none",)))

    def requests(self, name: str) -> list[Request]:
        """What was asked at an endpoint."""
        return [request for request in self.server.seen if request.path == self.path + name]

    def forms(self, grant_type: str) -> list[dict[str, str]]:
        """The token requests of a kind."""
        return [form for form in (one.form for one in self.requests("/token")) if form["grant_type"] == grant_type]

    @property
    def family(self) -> Family:
        """The only sign-in."""
        [family] = self.families
        return family

    def _register(self, request: Request) -> Reply:
        asked = json.loads(request.body)
        self.registered.append(asked)
        client_id = f"client-{len(self.registered)}"
        secret = self.register_answer.get("client_secret")
        named = self.register_answer.get("token_endpoint_auth_method", "client_secret_basic" if secret else "none")
        self.clients[client_id] = Client(asked["redirect_uris"][0], secret, frozenset({named}))
        self.redirects[client_id] = asked["redirect_uris"]
        return Reply(201, {"client_id": client_id, **self.register_answer})

    def _authorize(self, request: Request) -> Reply:
        asked = {name: values[0] for name, values in request.query.items()}
        self.asked.append(asked)
        redirect = urlsplit(asked["redirect_uri"])
        client = self.clients.get(asked["client_id"])
        registered = urlsplit(client.redirect_uri if client else "")
        if (redirect.hostname, redirect.path) != (registered.hostname, registered.path):
            return Reply(400, {"error": "invalid_request"})
        if self.compares_ports and asked["redirect_uri"] not in self.redirects.get(asked["client_id"], []):
            return Reply(400, {"error": "invalid_request"})
        if asked["code_challenge_method"] != "S256":
            return Reply(400, {"error": "invalid_challenge"})
        code = f"code-{len(self._codes)}-{'c' * 20}"
        self._codes[code] = Asked(
            asked["client_id"],
            asked["redirect_uri"],
            asked["code_challenge"],
            asked.get("scope", ""),
            asked.get("resource"),
        )
        answer = {"code": code, "state": asked["state"]}
        if self.names_issuer:
            answer["iss"] = self.signs_as or str(self.metadata["issuer"])
        return Reply(302, b"", {"Location": f"{asked['redirect_uri']}?{urlencode(answer)}"})

    def _authenticated(self, request: Request) -> Presented | None:
        presented = Presented.of(request)
        assert len(presented.ways) == 1, "a client authenticates in one way only"
        client = self.clients.get(presented.client_id)
        known = client is not None and client.secret == presented.secret and presented.ways[0] in client.methods
        return presented if known else None

    def _token(self, request: Request) -> Reply:
        presented, form = self._authenticated(request), request.form
        self.presented.append(Presented.of(request))
        if self.script:
            return self.script.pop(0)
        if presented is None:
            return NO_CLIENT
        if form["grant_type"] == "refresh_token":
            return self._refresh(presented, form)
        asked = self._codes.pop(form["code"])
        verifier = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        assert (asked.client_id, asked.redirect_uri) == (presented.client_id, form["redirect_uri"])
        assert asked.challenge == verifier.decode()
        if asked.resource != form.get("resource"):
            return Reply(400, {"error": "invalid_target"})
        family = Family(asked.client_id, asked.scope, asked.resource, len(self.families))
        self.families.append(family)
        return self._issue(family)

    def _refresh(self, presented: Presented, form: dict[str, str]) -> Reply:
        resource = form.get("resource")
        if resource is not None and not self.takes_resource_at_refresh:
            return Reply(400, {"error": "invalid_target"})
        for family in self.families:
            if family.client_id != presented.client_id or family.over:
                continue
            if form["refresh_token"] == family.refresh_token:
                if resource not in {None, family.resource}:
                    return Reply(400, {"error": "invalid_target"})
                family.generation, family.killed, family.refreshes = family.generation + 1, False, family.refreshes + 1
                return self._issue(family)
            if form["refresh_token"].startswith(f"refresh-{family.number}-"):
                family.over = True
        return Reply(400, {"error": "invalid_grant"})

    def _issue(self, family: Family) -> Reply:
        answer = {"access_token": family.access_token, "token_type": "Bearer", "expires_in": 3600}
        if self.issues_refresh_tokens:
            answer["refresh_token"] = family.refresh_token
        return Reply(200, answer)

    def _revoke(self, request: Request) -> Reply:
        presented, token = self._authenticated(request), request.form["token"]
        if presented is None:
            return NO_CLIENT
        self.revoked.append((token, presented))
        for family in self.families:
            family.over = family.over or token in {family.refresh_token, family.access_token}
        return Reply(200)


@dataclass
class ScriptedResource:
    """A server at `path` that takes the tokens of an authorization server, and says which one that is."""

    server: ScriptedServer
    issuer: ScriptedIssuer
    path: str = "/mcp"
    audiences: list[str | None] = field(default_factory=lambda: [None])
    """The resources that tokens may be for, in each spelling."""

    def __post_init__(self) -> None:
        self.audiences.append(self.url)
        self.metadata: dict[str, Any] = {"resource": self.url, "authorization_servers": [self.issuer.issuer]}
        self.server.views[self.path] = self._answer
        self.server.views[RESOURCE + self.path] = lambda _: Reply(200, self.metadata)

    @property
    def url(self) -> str:
        return self.server.origin + self.path

    @property
    def challenge(self) -> str:
        """The `WWW-Authenticate` header of a refusal."""
        return f'Bearer error="invalid_token", resource_metadata="{self.server.origin}{RESOURCE}{self.path}"'

    @property
    def bearers(self) -> list[str]:
        """The tokens that requests came with."""
        return [request.bearer for request in self.server.seen if request.path == self.path]

    def _answer(self, request: Request) -> Reply:
        takes = any(one.takes(request.bearer) and one.resource in self.audiences for one in self.issuer.families)
        return Reply(200, {"ok": True}) if takes else Reply(401, b"", {"WWW-Authenticate": self.challenge})


@asynccontextmanager
async def servers(count: int) -> AsyncIterator[Iterator[ScriptedServer]]:
    """Servers, each on an origin of its own."""
    async with AsyncExitStack() as stack:
        yield iter([await stack.enter_async_context(ScriptedServer()) for _ in range(count)])
