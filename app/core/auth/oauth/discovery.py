"""Which authorization server a protected resource uses, and where that server's endpoints are.

MCP authorization of revisions 2025-11-25 and 2026-07-28: the `resource_metadata` of a challenge, then RFC 9728 at the
resource's path and at its root; RFC 8414 and OpenID Connect discovery in all three forms of the path. The MCP SDK has
functions for this too. They lose a query and what follows a semicolon, a path that begins with two slashes leads them
to another host, and they tell neither two queries apart nor a path from the same one with a slash at its end.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.core.auth.http.challenges import read_challenges
from app.core.auth.http.classifier import OUR_SCHEMES, SCOPE_TOKEN
from app.core.auth.http.clients import transport_error
from app.core.auth.key import CredentialKey
from app.core.auth.metadata import ServerMetadata
from app.core.auth.oauth.requests import send
from app.core.auth.profile import CredentialProfile, IssuerTrust
from app.core.errors import BurrowError, Facts, NotFound, ProtocolTrouble, Rejected, TimedOut
from app.core.urls import is_confidential, may_name, normalized, origin_of, same_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.core.auth.http.challenges import Challenge
    from app.core.auth.http.clients import HttpClients
    from app.core.auth.oauth.requests import OAuthAnswer

CHALLENGE_SECONDS = 10.0
NOT_PUBLISHED = frozenset({404, 405, 410})
RESOURCE_METADATA = "/.well-known/oauth-protected-resource"
OAUTH_METADATA = "/.well-known/oauth-authorization-server"
OPENID_METADATA = "/.well-known/openid-configuration"
# Characters of a server's own words in a refusal.
SHOWN = 200


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
    same_origin = profile.trust is IssuerTrust.SAME_ORIGIN
    for address in [profile.origin + OAUTH_METADATA] if same_origin else metadata_addresses(profile.issuer):
        answer = await send(transport, "GET", address)
        if answer.status in NOT_PUBLISHED or (not same_origin and _is_nothing(answer)):
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
    the metadata is of another resource, or names no authorization server that can be used, and other `BurrowError`
    kinds when the server could not be asked: without its answer another authorization server would be a guess.
    """
    challenges = read_challenges(challenge)
    named, scope = _first(challenges, "resource_metadata"), _first(challenges, "scope")
    if named and not may_name(url, named):
        raise ProtocolTrouble(
            f"{origin_of(url)} says that its metadata is at {_shown(named)}, which is not safe to use."
        )
    for address in dict.fromkeys([named, *resource_addresses(url)] if named else resource_addresses(url)):
        answer = await send(transport, "GET", address)
        if answer.status >= 500 or answer.status == 429:
            raise answer.failure({})
        if not _is_nothing(answer):
            return _read_resource(answer.object(), url, address, scope)
    return ProtectedResource(origin_of(url), None, _scopes(scope.split()))


def profile_of(found: ProtectedResource, url: str, name: str, slot: str = "") -> CredentialProfile:
    """The profile of the credential for the server at `url`, which people call `name`.

    Its key stays the same when the server only spells its issuer or its resource in another way.
    """
    return CredentialProfile(
        CredentialKey(_identifier(found.issuer), _identifier(found.resource or url), slot),
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
    issuer = answer.get("issuer")
    if not isinstance(issuer, str) or not same_url(issuer, profile.issuer):
        raise ProtocolTrouble(
            f"{found_at} names the issuer {_shown(issuer)}, but {_expected_by(profile)} {_shown(profile.issuer)}."
        )

    def endpoint(name: str) -> str | None:
        value = answer.get(name)
        if value is None:
            return None
        # RFC 6749 sections 3.1 and 3.2: an endpoint has no fragment.
        if not isinstance(value, str) or "#" in value or not may_name(issuer, value):
            raise ProtocolTrouble(f"{found_at} names the {name} {_shown(value)}, which is not safe to use.")
        if profile.trust is IssuerTrust.SAME_ORIGIN and origin_of(value) != profile.origin:
            raise ProtocolTrouble(
                f"{found_at} names the {name} {_shown(value)}, but the server's address is {_shown(profile.origin)}."
            )
        return value

    methods = answer.get("code_challenge_methods_supported")
    if not isinstance(methods, list) or "S256" not in methods:
        raise ProtocolTrouble(
            f"{found_at} offers no PKCE with S256, which Burrow needs; it offers {_listed(_texts(methods))}."
        )
    authorize, token = endpoint("authorization_endpoint"), endpoint("token_endpoint")
    if authorize is None or token is None:
        raise ProtocolTrouble(f"{found_at} names no endpoint to sign in at.")
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


def metadata_addresses(issuer: str) -> list[str]:
    """Where an issuer's metadata may be, in MCP's order (RFC 8414 sections 3.1 and 5, OpenID Connect Discovery 4)."""
    origin, path = origin_of(issuer), urlsplit(issuer).path.rstrip("/")
    if not path:
        return [origin + OAUTH_METADATA, origin + OPENID_METADATA]
    return [origin + OAUTH_METADATA + path, origin + OPENID_METADATA + path, origin + path + OPENID_METADATA]


def resource_addresses(url: str) -> list[str]:
    """Where a resource's metadata may be: RFC 9728 section 3.1, then at the root, as MCP has it."""
    parts, root = urlsplit(url), origin_of(url) + RESOURCE_METADATA
    path = "" if parts.path == "/" else parts.path
    return list(dict.fromkeys((f"{root}{path}?{parts.query}" if parts.query else f"{root}{path}", root)))


def covers(resource: str, url: str) -> bool:
    """Whether the identifier `resource` is that of the server at `url`: its address, or a parent of it.

    RFC 9728 section 3.3 asks for the address itself. Servers also name a parent of it: the same origin, and a path that
    the address continues with a further segment or with a query.
    """
    if not is_confidential(resource) or "#" in resource:
        return False
    try:
        whole, parent = normalized(url), normalized(resource)
    except ValueError:
        return False
    if "?" in parent:
        return whole == parent
    path = whole.partition("?")[0]
    return path == parent or path.startswith(parent if parent.endswith("/") else f"{parent}/")


def _expected_by(profile: CredentialProfile) -> str:
    """Where the expected issuer comes from."""
    if profile.trust is IssuerTrust.SAME_ORIGIN or profile.resource is None:
        return "the server's address is"
    return f"the metadata of the resource {_shown(profile.resource)} names"


def _identifier(url: str) -> str:
    """`url` in the one spelling that keys have."""
    spelled = normalized(url)
    return origin_of(url) if spelled == f"{origin_of(url)}/" else spelled


def _first(challenges: tuple[Challenge, ...], name: str) -> str:
    """What the challenges say, those for tokens first; empty when none says anything."""
    ours = [one for one in challenges if one.scheme in OUR_SCHEMES]
    others = [one for one in challenges if one.scheme not in OUR_SCHEMES]
    return next((one.parameters[name] for one in (*ours, *others) if one.parameters.get(name)), "")


def _shown(value: object) -> str:
    return f"“{value[:SHOWN]}”" if isinstance(value, str) else "nothing"


def _listed(texts: tuple[str, ...]) -> str:
    return _shown(", ".join(texts) or None)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()


def _scopes(named: Iterable[str]) -> tuple[str, ...]:
    """Scopes in their order, each once; what is none by RFC 6749 section 3.3 is left out."""
    return tuple(dict.fromkeys(one for one in named if SCOPE_TOKEN.fullmatch(one)))


def _read_resource(answer: dict[str, Any], url: str, address: str, scope: str) -> ProtectedResource:
    resource = answer.get("resource")
    if not isinstance(resource, str) or not covers(resource, url):
        raise ProtocolTrouble(f"{address} describes the resource {_shown(resource)}, but the server is {_shown(url)}.")
    issuers = _texts(answer.get("authorization_servers"))
    # RFC 8414 section 2: an issuer has neither a query nor a fragment.
    issuer = next((one for one in issuers if may_name(url, one) and "?" not in one and "#" not in one), None)
    if issuer is None:
        raise ProtocolTrouble(f"{address} names no authorization server that can be used; it names {_listed(issuers)}.")
    return ProtectedResource(issuer, resource, _scopes(scope.split() or _texts(answer.get("scopes_supported"))))


def _is_nothing(answer: OAuthAnswer) -> bool:
    """Whether there is no metadata at an address: not found, moved away, or something that is no JSON object."""
    if answer.status != 200:
        return answer.status < 500 and answer.status != 429
    try:
        answer.object()
    except BurrowError:
        return True
    return False


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
