"""Which authorization server a protected resource uses, and where that server's endpoints are.

MCP authorization of revisions 2025-11-25 and 2026-07-28: the `resource_metadata` of a challenge, then RFC 9728 at the
resource's path and at its root; RFC 8414 and OpenID Connect discovery in all three forms of the path. The MCP SDK's
functions build the addresses and choose the scopes; reading challenges and comparing addresses is ours, because the
SDK's take any text that looks like a parameter, and compare without normalising.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.core.auth.http.challenges import read_challenges
from app.core.auth.http.clients import transport_error
from app.core.auth.key import CredentialKey
from app.core.auth.oauth.metadata import ServerMetadata
from app.core.auth.oauth.requests import send
from app.core.auth.profile import CredentialProfile, IssuerTrust
from app.core.errors import BurrowError, Facts, NotFound, ProtocolTrouble, Rejected, TimedOut
from app.core.urls import is_confidential, normalized, origin_of, same_url

if TYPE_CHECKING:
    from app.core.auth.http.clients import HttpClients
    from app.core.auth.oauth.requests import OAuthAnswer

CHALLENGE_SECONDS = 10.0
NOT_PUBLISHED = frozenset({404, 405, 410})


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """How a protected resource is authorized.

    `issuer` is its authorization server, `resource` the identifier that tokens are asked for (RFC 8707), None where the
    server publishes no metadata. `scopes` are what to ask for, chosen as MCP prescribes; empty: name none.
    """

    issuer: str
    resource: str | None
    scopes: tuple[str, ...]


async def find_metadata(transport: HttpClients, profile: CredentialProfile) -> ServerMetadata:
    """The metadata of the profile's issuer.

    Raises `ProtocolTrouble` for metadata that must not be used, `NotFound` when there is none and the profile knows no
    documented endpoints, other `BurrowError` kinds when the server could not be asked.
    """
    if profile.trust is IssuerTrust.SAME_ORIGIN:
        addresses = [f"{profile.origin}/.well-known/oauth-authorization-server"]
    else:
        addresses = await asyncio.to_thread(_metadata_addresses, profile.issuer)
    for address in addresses:
        answer = await send(transport, "GET", address)
        if answer.status in NOT_PUBLISHED or (profile.trust is IssuerTrust.METADATA and _is_nothing(answer)):
            continue
        found = answer.object()
        if answer.status != 200:
            raise answer.failure(found)
        return read_metadata(found, profile, found_at=address)
    if profile.documented is not None:
        return profile.documented
    raise NotFound(
        f"{profile.name} does not say how to sign in to {profile.issuer}.",
        Facts(origin=origin_of(profile.issuer)),
        action=profile.without_registration,
    )


async def find_challenge(transport: HttpClients, url: str) -> str:
    """The `WWW-Authenticate` header that the server at `url` refuses a request by; empty where it refuses none.

    Raises `BurrowError` kinds when the server cannot be asked.
    """
    import httpx

    client = await transport.aside()
    origin = origin_of(url)
    headers = {"Accept": "application/json, text/event-stream"}
    try:
        async with asyncio.timeout(CHALLENGE_SECONDS), client.stream("GET", url, headers=headers, auth=None) as answer:
            return str(answer.headers.get("www-authenticate", "")) if answer.status_code in {401, 403} else ""
    except TimeoutError:
        raise TimedOut(f"{origin} did not answer in time.", Facts(origin=origin)) from None
    except httpx.HTTPError as failure:
        raise transport_error(failure, origin=origin) from None


async def find_protected_resource(transport: HttpClients, url: str, challenge: str = "") -> ProtectedResource:
    """How the server at `url` is authorized; `challenge` is the `WWW-Authenticate` header that it refused a request by.

    A server that publishes no metadata is its own authorization server (MCP 2025-03-26). Raises `ProtocolTrouble` when
    the metadata is of another resource, or names no authorization server that can be used.
    """
    named = {name: value for one in read_challenges(challenge) for name, value in one.parameters.items()}
    addresses = await asyncio.to_thread(_resource_addresses, named.get("resource_metadata"), url)
    for address in addresses:
        if not is_confidential(address):
            raise ProtocolTrouble(f"{origin_of(url)} names its metadata at an address that is not safe to use.")
        answer = await send(transport, "GET", address)
        if answer.status >= 500 or answer.status == 429:
            # Trouble says nothing about whether there is metadata: another authorization server would be a guess.
            raise answer.failure({})
        if _is_nothing(answer):
            continue
        return _read_resource(answer.object(), url, address, named.get("scope"))
    scope = named.get("scope", "")
    return ProtectedResource(origin_of(url), None, tuple(scope.split()))


def profile_of(found: ProtectedResource, url: str, name: str, slot: str = "") -> CredentialProfile:
    """The profile of the credential for the server at `url`, which people call `name`."""
    return CredentialProfile(
        CredentialKey(found.issuer, found.resource or normalized(url), slot),
        name,
        origin_of(url),
        found.issuer,
        resource=found.resource,
        scopes=found.scopes,
    )


def read_metadata(answer: dict[str, Any], profile: CredentialProfile, *, found_at: str) -> ServerMetadata:
    """The metadata in `answer`, which came from the address `found_at`.

    Raises `ProtocolTrouble` when it is of another issuer than the profile expects, when an endpoint is where the
    profile's trust does not allow it, or without PKCE with S256.
    """
    server = origin_of(found_at)
    issuer = answer.get("issuer")
    if not isinstance(issuer, str) or not same_url(issuer, profile.issuer):
        raise ProtocolTrouble(
            f"{server} calls itself by another name: {found_at} names the issuer {_shown(issuer)},"
            f" but {_expected_by(profile)} “{profile.issuer}”."
        )

    def endpoint(name: str) -> str | None:
        value = answer.get(name)
        if value is None:
            return None
        if profile.trust is IssuerTrust.SAME_ORIGIN and not (isinstance(value, str) and _is_at(value, profile.origin)):
            raise ProtocolTrouble(f"{server} names its {name} on another server: {_shown(value)}.")
        if not isinstance(value, str) or not is_confidential(value):
            raise ProtocolTrouble(f"{server} names its {name} at {_shown(value)}, which is not safe to use.")
        return value

    methods = answer.get("code_challenge_methods_supported")
    if not isinstance(methods, list) or "S256" not in methods:
        raise ProtocolTrouble(f"{server} does not support PKCE with S256.")
    authorize, token = endpoint("authorization_endpoint"), endpoint("token_endpoint")
    if authorize is None or token is None:
        raise ProtocolTrouble(f"{server} does not name its sign-in endpoints.")
    return ServerMetadata(
        issuer,
        authorize,
        token,
        endpoint("registration_endpoint"),
        endpoint("revocation_endpoint"),
        answer.get("authorization_response_iss_parameter_supported") is True,
        _texts(answer.get("scopes_supported")),
        _texts(answer.get("token_endpoint_auth_methods_supported")),
        answer.get("client_id_metadata_document_supported") is True,
    )


def _expected_by(profile: CredentialProfile) -> str:
    """Where the expected issuer comes from."""
    if profile.trust is IssuerTrust.SAME_ORIGIN:
        return "the server's address is"
    return f"the metadata of the protected resource {profile.resource or profile.origin} names"


def _is_at(url: str, origin: str) -> bool:
    try:
        return origin_of(url) == origin
    except ValueError:
        return False


def _shown(value: object) -> str:
    return f"“{value[:200]}”" if isinstance(value, str) else "nothing"


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()


def _read_resource(answer: dict[str, Any], url: str, address: str, scope: str | None) -> ProtectedResource:
    from mcp.shared.auth_utils import check_resource_allowed

    resource = answer.get("resource")
    if not isinstance(resource, str) or not _covers(resource, url, check_resource_allowed):
        raise ProtocolTrouble(
            f"{address} describes the resource “{str(resource)[:200]}”, which is not the server at {url}."
        )
    servers = answer.get("authorization_servers")
    issuers = [one for one in servers if isinstance(one, str)] if isinstance(servers, list) else []
    issuer = next((one for one in issuers if is_confidential(one)), None)
    if issuer is None:
        raise ProtocolTrouble(f"{address} names no authorization server that can be used.")
    offered = answer.get("scopes_supported")
    scopes = scope.split() if scope is not None else offered if isinstance(offered, list) else []
    return ProtectedResource(issuer, resource, tuple(dict.fromkeys(one for one in scopes if isinstance(one, str))))


def _covers(resource: str, url: str, allowed: Any) -> bool:
    """Whether `resource` is the server at `url`, or a parent of it on the same origin."""
    try:
        return same_url(resource, url) or bool(allowed(normalized(url), normalized(resource)))
    except ValueError:
        return False


def _is_nothing(answer: OAuthAnswer) -> bool:
    """Whether there is no metadata at an address: not found, moved away, or something that is no JSON object."""
    if answer.status != 200:
        return answer.status < 500 and answer.status != 429
    try:
        answer.object()
    except BurrowError:
        return True
    return False


def _metadata_addresses(issuer: str) -> list[str]:
    from mcp.client.auth.utils import build_oauth_authorization_server_metadata_discovery_urls as build

    return build(issuer, issuer)


def _resource_addresses(named: str | None, url: str) -> list[str]:
    from mcp.client.auth.utils import build_protected_resource_metadata_discovery_urls as build

    return build(named, url)


def check_server_address(url: str) -> str:
    """`url` as a person typed it, if a credential may be sent there. Raises `Rejected` (attr `url`)."""
    typed = url.strip()
    if not is_confidential(typed):
        raise Rejected(
            "The address must be https, or http on this machine, and must not carry a user name.",
            Facts(attr="url"),
            action="Correct the address.",
        )
    return typed
