"""The store as an OAuth client of vendors: discovery, registration, authorization, exchange, refresh.

RFC 9728, 8414, 7591, 7636, 8707 and 9207. Only the loopback interface is ever contacted.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from app.workspace.runtime.digests import digest, s256
from app.workspace.store.addresses import absolute, is_loopback, relative, url_problem
from app.workspace.store.rows import (
    StoreInstallation,
    VendorConnection,
    installation,
    mark_needs_reauth,
    save_connection,
)
from app.workspace.store.state import StoreState
from app.workspace.web.fields import decode_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    import httpx2

    from app.workspace.runtime.context import Workspace

STATE_SECONDS = 600.0
CALL_SECONDS = 15.0
# A token that expires so soon could be dead when the request arrives.
REFRESH_BEFORE_SECONDS = 30.0
LARGEST_ANSWER = 1024 * 1024
REDIRECT_PATH = "/api/mcp_store/oauth_redirect/"


class ConnectFailed(Exception):
    """A server with OAuth could not be installed. The message is the `detail` of the API's answer."""


class VendorGrantEnded(Exception):
    """The vendor has ended its grant; only the person can connect the server again."""


class VendorUnreachable(Exception):
    """The vendor's authorization server gave no usable answer. The stored tokens stay."""


@dataclass(frozen=True)
class DiscoveredVendor:
    """What a server's metadata says. Addresses are absolute."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str
    resource: str
    scope: str


async def connect(workspace: Workspace, url: str, client_id: str, client_secret: str) -> VendorConnection:
    """Discover a server's authorization server and, without a `client_id`, register with it.

    Raises `ConnectFailed`.
    """
    await workspace.state(StoreState).http()
    import httpx2

    origin = workspace.settings.url
    try:
        found = await _discover(workspace, url)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TimeoutError):
        found = None
    if found is None:
        raise ConnectFailed("OAuth discovery failed.")
    if not client_id:
        if not found.registration_endpoint:
            raise ConnectFailed("This MCP server does not support Dynamic Client Registration (DCR).")
        try:
            client_id, client_secret = await _register(workspace, found)
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TimeoutError):
            raise ConnectFailed("OAuth registration failed.") from None
    return VendorConnection(
        issuer=relative(found.issuer, origin),
        authorization_endpoint=relative(found.authorization_endpoint, origin),
        token_endpoint=relative(found.token_endpoint, origin),
        client_id=client_id,
        client_secret=client_secret,
        resource=relative(found.resource, origin),
        scope=found.scope,
    )


async def _discover(workspace: Workspace, url: str) -> DiscoveredVendor | None:
    if not is_loopback(url):
        return None
    parts = urlsplit(url)
    root = f"{parts.scheme}://{parts.netloc}"
    resource, scope, issuer = url, "", root
    for address in (
        f"{root}/.well-known/oauth-protected-resource{parts.path}",
        f"{root}/.well-known/oauth-protected-resource",
    ):
        described = await _get_json(workspace, address)
        servers = described.get("authorization_servers") if described else None
        if isinstance(servers, list) and servers and isinstance(servers[0], str):
            # A document about another resource proves nothing about this server (RFC 9728, section 3.3). One about a
            # parent path or the whole origin is accepted, because many servers describe themselves only once.
            named = described.get("resource") if described else None
            if isinstance(named, str) and (url == named or url.startswith(named.rstrip("/") + "/") or named == root):
                resource, issuer = named, servers[0]
                scopes = described.get("scopes_supported") if described else None
                if isinstance(scopes, list):
                    scope = " ".join(one for one in scopes if isinstance(one, str))
                break
    for address in _metadata_addresses(issuer):
        # Only the issuer itself may describe itself: the identifiers must be equal (RFC 8414, section 3.3).
        metadata = await _get_json(workspace, address)
        if metadata is None or metadata.get("issuer") != issuer:
            continue
        methods = metadata.get("code_challenge_methods_supported")
        ends = [metadata.get(name) for name in ("authorization_endpoint", "token_endpoint")]
        if not isinstance(methods, list) or "S256" not in methods or not all(_usable(end) for end in ends):
            return None
        registration = metadata.get("registration_endpoint")
        return DiscoveredVendor(
            issuer, str(ends[0]), str(ends[1]), str(registration) if _usable(registration) else "", resource, scope
        )
    return None


def _metadata_addresses(issuer: str) -> list[str]:
    parts = urlsplit(issuer)
    root, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    names = ("oauth-authorization-server", "openid-configuration")
    found = [f"{root}/.well-known/{name}{path}" for name in names]
    return [*found, f"{root}{path}/.well-known/openid-configuration"] if path else found


def _usable(end: object) -> bool:
    return isinstance(end, str) and url_problem(end) is None and is_loopback(end)


async def _register(workspace: Workspace, found: DiscoveredVendor) -> tuple[str, str]:
    body: dict[str, object] = {
        "client_name": "Burrow workspace",
        "redirect_uris": [workspace.settings.url + REDIRECT_PATH],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }
    if found.scope:
        body["scope"] = found.scope
    status, answer = await _call(workspace, "POST", found.registration_endpoint, json=body)
    client_id, client_secret = answer.get("client_id"), answer.get("client_secret", "")
    if status not in (200, 201) or not isinstance(client_id, str) or not isinstance(client_secret, str):
        raise ValueError("not registered")
    return client_id, client_secret


def begin(workspace: Workspace, db: sqlite3.Connection, wanted: StoreInstallation, callback: str) -> str:
    """Store a new authorization request and return the address to open in the browser.

    The installation must have a connection. `callback` is where the browser is sent at the end; empty means the
    workspace's own page.
    """
    connection, origin, now = wanted.connection, workspace.settings.url, workspace.clock.now()
    assert connection is not None
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    db.execute("DELETE FROM store_oauth_states WHERE expires_at <= ?", (now,))
    db.execute(
        "INSERT INTO store_oauth_states VALUES (?, ?, ?, ?, ?)",
        (digest(state), wanted.id, verifier, callback, now + STATE_SECONDS),
    )
    query = {
        "response_type": "code",
        "client_id": connection.client_id,
        "redirect_uri": origin + REDIRECT_PATH,
        "state": state,
        "code_challenge": s256(verifier),
        "code_challenge_method": "S256",
        "resource": absolute(connection.resource, origin),
    }
    if connection.scope:
        query["scope"] = connection.scope
    address = absolute(connection.authorization_endpoint, origin)
    return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(query)}"


@dataclass(frozen=True)
class StateRecord:
    """What was stored under the `state` of an authorization request."""

    installation_id: str
    project_id: int
    verifier: str
    callback: str


def take_state(db: sqlite3.Connection, state: str, now: float) -> StateRecord | None:
    """The record of a `state`, once; None when it is unknown, used or older than 600 s."""
    row = db.execute(
        "SELECT s.*, i.project_id FROM store_oauth_states s JOIN store_installations i ON i.id = s.installation_id"
        " WHERE s.state_hash = ?",
        (digest(state),),
    ).fetchone()
    if row is None:
        return None
    db.execute("DELETE FROM store_oauth_states WHERE state_hash = ?", (row["state_hash"],))
    if row["expires_at"] <= now:
        return None
    return StateRecord(row["installation_id"], row["project_id"], row["verifier"], row["callback_url"])


async def finish(workspace: Workspace, pending: StateRecord, code: str, issuer: str | None) -> bool:
    """Exchange the code and store the vendor's tokens. False when that failed.

    An `issuer` other than the one the request went to is refused before the code is sent anywhere (RFC 9207).
    """
    await workspace.state(StoreState).http()
    import httpx2

    wanted = await workspace.db.read(lambda db: installation(db, pending.project_id, pending.installation_id))
    if wanted is None or wanted.connection is None:
        return False
    connection, origin = wanted.connection, workspace.settings.url
    if issuer is not None and not hmac.compare_digest(issuer.encode(), absolute(connection.issuer, origin).encode()):
        return False
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": origin + REDIRECT_PATH,
        "code_verifier": pending.verifier,
    }
    try:
        status, answer = await _token_call(workspace, connection, form)
    except (httpx2.HTTPError, ValueError, TimeoutError):
        return False
    if status != 200:
        return False
    return await _store_tokens(workspace, wanted.id, connection, answer) is not None


async def vendor_token(workspace: Workspace, wanted: StoreInstallation, refused: str | None) -> str:
    """The vendor's access token for an installation, refreshed if it expires soon or is the `refused` one.

    One refresh at a time per installation: whoever waited for the lock reads the stored token again and uses it.
    Raises `VendorGrantEnded`, after which the installation needs a new sign-in, or `VendorUnreachable`.
    """
    async with workspace.state(StoreState).refreshing[wanted.id]:
        current = await workspace.db.read(lambda db: installation(db, wanted.project_id, wanted.id))
        connection = current.connection if current is not None else None
        if connection is None or (current is not None and current.needs_reauth):
            raise VendorGrantEnded
        ending = connection.expires_at is not None and (
            connection.expires_at <= workspace.clock.now() + REFRESH_BEFORE_SECONDS
        )
        if connection.access_token not in ("", refused) and not ending:
            return connection.access_token
        return await _refresh(workspace, wanted, connection)


async def _refresh(workspace: Workspace, wanted: StoreInstallation, connection: VendorConnection) -> str:
    await workspace.state(StoreState).http()
    import httpx2

    now = workspace.clock.now()
    # Without a refresh token the grant is over as if the vendor had refused one.
    status, answer = 400, {"error": "invalid_grant"}
    if connection.refresh_token:
        form = {"grant_type": "refresh_token", "refresh_token": connection.refresh_token}
        try:
            status, answer = await _token_call(workspace, connection, form)  # type: ignore[assignment]
        except (httpx2.HTTPError, ValueError, TimeoutError):
            raise VendorUnreachable from None
    if status == 200:
        token = await _store_tokens(workspace, wanted.id, connection, answer)
        if token is not None:
            return token
    # Only these answers end the vendor's grant. Everything else may be temporary, and the stored tokens stay.
    if status in (400, 401) and answer.get("error") in ("invalid_grant", "invalid_client", "unauthorized_client"):
        await workspace.db.run(lambda db: mark_needs_reauth(db, wanted.id, True, now))
        raise VendorGrantEnded
    raise VendorUnreachable


async def _store_tokens(
    workspace: Workspace, wanted: str, connection: VendorConnection, answer: Mapping[str, object]
) -> str | None:
    token, refresh, life = answer.get("access_token"), answer.get("refresh_token"), answer.get("expires_in")
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        return None
    now = workspace.clock.now()
    lasting = isinstance(life, int | float) and not isinstance(life, bool) and life > 0
    # An answer without a refresh token keeps the former one (RFC 6749, section 6).
    refreshed = dataclasses.replace(
        connection,
        access_token=token,
        refresh_token=refresh if isinstance(refresh, str) and refresh else connection.refresh_token,
        expires_at=now + float(life) if lasting else None,  # type: ignore[arg-type]
    )

    def store(db: sqlite3.Connection) -> None:
        save_connection(db, wanted, refreshed)
        mark_needs_reauth(db, wanted, False, now)

    await workspace.db.run(store)
    return token


async def _token_call(
    workspace: Workspace, connection: VendorConnection, form: Mapping[str, str]
) -> tuple[int, dict[str, object]]:
    origin = workspace.settings.url
    fields = {**form, "client_id": connection.client_id, "resource": absolute(connection.resource, origin)}
    if connection.client_secret:
        fields["client_secret"] = connection.client_secret
    return await _call(workspace, "POST", absolute(connection.token_endpoint, origin), form=fields)


async def _get_json(workspace: Workspace, address: str) -> dict[str, object] | None:
    if not _usable(address):
        return None
    status, answer = await _call(workspace, "GET", address)
    return answer if status == 200 else None


async def _call(
    workspace: Workspace,
    method: str,
    address: str,
    *,
    json: Mapping[str, object] | None = None,
    form: Mapping[str, str] | None = None,
) -> tuple[int, dict[str, object]]:
    """One request to an authorization server: status and JSON object. Any other body counts as an empty object."""
    client: httpx2.AsyncClient = await workspace.state(StoreState).http()
    # The request's own timeout begins anew with each byte.
    async with (
        asyncio.timeout(CALL_SECONDS),
        client.stream(method, address, json=json, data=form, timeout=CALL_SECONDS) as response,
    ):
        # Asked for as it is: a compressed answer becomes any size before it can be counted.
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise ValueError("the answer is in a coding that was not asked for")
        raw = b""
        async for piece in response.aiter_raw():
            raw += piece
            if len(raw) > LARGEST_ANSWER:
                raise ValueError("the answer is too large")
        try:
            value = decode_json(raw)
        except ValueError:
            value = None
        return response.status_code, value if isinstance(value, dict) else {}
