"""Discovery: the authorization server of a protected resource, and that server's metadata.

MCP authorization of revisions 2025-11-25 and 2026-07-28: the `resource_metadata` of a challenge, then RFC 9728 at the
resource's path and at its root; RFC 8414 and OpenID Connect Discovery in all three forms of the path.

The MCP SDK has functions for this too. They are not used because they drop the query and what follows a semicolon,
follow a path that begins with two slashes to another host, and treat URLs as equal that differ in the query or in a
trailing slash.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.core.auth.http.challenges import read_challenges
from app.core.auth.http.classifier import SCOPE_TOKEN, TOKEN_SCHEMES
from app.core.auth.http.clients import pause_before_repeating, retry_after, transport_error
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
    from app.core.auth.oauth.requests import OAuthResponse

CHALLENGE_SECONDS = 10.0
NOT_PUBLISHED = frozenset({404, 405, 410})
RESOURCE_METADATA = "/.well-known/oauth-protected-resource"
OAUTH_METADATA = "/.well-known/oauth-authorization-server"
OPENID_METADATA = "/.well-known/openid-configuration"
# Characters of a server's own text in an error.
SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """How to authorize requests to a protected resource.

    `issuer` is its authorization server. `resource` is the resource indicator for tokens (RFC 8707), None when the
    server publishes no metadata. `scopes` are those to request, by MCP's rules: those of the challenge, else those of
    the metadata. Empty means to send no `scope`.
    """

    issuer: str
    resource: str | None
    scopes: tuple[str, ...]


async def find_metadata(clients: HttpClients, profile: CredentialProfile) -> ServerMetadata:
    """The metadata of the profile's issuer.

    Raises `ProtocolTrouble` for metadata that must not be used, `NotFound` when there is none and the profile has no
    documented metadata, other `BurrowError`s when the server cannot be reached or fails.
    """
    same_origin = profile.trust is IssuerTrust.SAME_ORIGIN
    for url in [profile.origin + OAUTH_METADATA] if same_origin else metadata_urls(profile.issuer):
        answer = await _get(clients, url)
        # With one URL only, a page instead of metadata is a failure that may pass. With several, the next one is tried:
        # many servers answer every unknown path with a page.
        if answer.status in NOT_PUBLISHED or (not same_origin and _is_absent(answer)):
            continue
        found = answer.object()
        if answer.status != 200:
            raise answer.failure(found)
        return read_metadata(found, profile, found_at=url)
    if profile.documented is not None:
        return profile.documented
    raise NotFound(
        f"{profile.name} does not say how to sign in to {profile.issuer}.",
        Facts(origin=origin_of(profile.issuer)),
        action=profile.registration_advice,
    )


async def find_challenge(clients: HttpClients, url: str) -> str:
    """The `WWW-Authenticate` header of the server's refusal of a request without a token; empty when it refuses none.

    Raises `BurrowError` when the server cannot be reached.
    """
    import httpx

    try:
        origin = origin_of(url)
    except ValueError:
        raise ProtocolTrouble(f"{_quoted(url)} is an address that cannot be used.") from None
    client = await clients.authorization_client()
    headers = {"Accept": "application/json, text/event-stream"}
    try:
        # Streamed and left at once: a server that needs no token may answer with an endless event stream.
        async with (
            asyncio.timeout(CHALLENGE_SECONDS),
            client.stream("GET", url, headers=headers, auth=None) as response,
        ):
            return str(response.headers.get("www-authenticate", "")) if response.status_code in {401, 403} else ""
    except TimeoutError:
        raise TimedOut(f"{origin} did not answer in time.", Facts(origin=origin)) from None
    except httpx.HTTPError as failure:
        raise transport_error(failure, origin=origin) from None
    except (httpx.InvalidURL, UnicodeError):
        raise ProtocolTrouble(f"{_quoted(url)} is an address that cannot be used.") from None


async def find_protected_resource(clients: HttpClients, url: str, challenge: str = "") -> ProtectedResource:
    """How to authorize requests to `url`. `challenge` is the `WWW-Authenticate` header of a refused request.

    A server that publishes no metadata is its own authorization server (MCP 2025-03-26). Raises `ProtocolTrouble` when
    the metadata describes another resource or names no usable authorization server, other `BurrowError`s when the
    server cannot be reached or fails.
    """
    challenges = read_challenges(challenge)
    named, scope = _first(challenges, "resource_metadata"), _first(challenges, "scope")
    if named and not may_name(url, named):
        raise ProtocolTrouble(
            f"{origin_of(url)} says that its metadata is at {_quoted(named)}, which is not safe to use."
        )
    for metadata_url in dict.fromkeys([named, *resource_urls(url)] if named else resource_urls(url)):
        answer = await _get(clients, metadata_url)
        # Going on to the next URL would send the user to another authorization server because this one failed.
        if answer.status >= 500 or answer.status == 429:
            raise answer.failure({})
        if not _is_absent(answer):
            return _read_resource(answer.object(), url, metadata_url, scope)
    return ProtectedResource(origin_of(url), None, _scopes(scope.split()))


async def _get(clients: HttpClients, url: str) -> OAuthResponse:
    """Metadata, asked for once more when the server refuses it for the moment."""
    answer = await send(clients, "GET", url)
    pause = pause_before_repeating(answer.status, retry_after(answer.headers))
    if pause is None:
        return answer
    await asyncio.sleep(pause)
    return await send(clients, "GET", url)


def profile_of(found: ProtectedResource, url: str, name: str, slot: str = "") -> CredentialProfile:
    """The profile of the credential for the server at `url`, whose name for people is `name`."""
    # The key has normalised URLs, so that it stays the same when the server only spells them in another way. The
    # resource is sent as the server spells it.
    return CredentialProfile(
        CredentialKey(_identifier(found.issuer), _identifier(found.resource or url), slot),
        name,
        origin_of(url),
        found.issuer,
        resource=found.resource,
        scopes=found.scopes,
    )


def read_metadata(answer: dict[str, Any], profile: CredentialProfile, *, found_at: str) -> ServerMetadata:
    """The metadata in `answer`, which was found at the URL `found_at`.

    Raises `ProtocolTrouble` when the issuer is not the expected one, when the profile's trust does not allow an
    endpoint's URL, or when the server does not support PKCE with S256.
    """
    # RFC 8414 section 3.3. Otherwise any server could claim to be the issuer of another one.
    issuer = answer.get("issuer")
    if not isinstance(issuer, str) or not same_url(issuer, profile.issuer):
        raise ProtocolTrouble(
            f"{found_at} names the issuer {_quoted(issuer)}, but {_expected_by(profile)} {_quoted(profile.issuer)}."
        )

    def endpoint(name: str) -> str | None:
        value = answer.get(name)
        if value is None:
            return None
        # An endpoint has no fragment (RFC 6749 sections 3.1 and 3.2).
        if not isinstance(value, str) or "#" in value or not may_name(issuer, value):
            raise ProtocolTrouble(f"{found_at} names the {name} {_quoted(value)}, which is not safe to use.")
        if profile.trust is IssuerTrust.SAME_ORIGIN and origin_of(value) != profile.origin:
            raise ProtocolTrouble(
                f"{found_at} names the {name} {_quoted(value)}, but the server's address is {_quoted(profile.origin)}."
            )
        return value

    methods = answer.get("code_challenge_methods_supported")
    if not isinstance(methods, list) or "S256" not in methods:
        raise ProtocolTrouble(
            f"{found_at} offers no PKCE with S256, which Burrow needs; it offers {_quoted_list(_texts(methods))}."
        )
    authorize, token = endpoint("authorization_endpoint"), endpoint("token_endpoint")
    if authorize is None or token is None:
        raise ProtocolTrouble(f"{found_at} names no authorization endpoint or no token endpoint.")
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


def metadata_urls(issuer: str) -> list[str]:
    """Where an issuer's metadata may be, in MCP's order (RFC 8414 sections 3.1 and 5, OpenID Connect Discovery 4)."""
    origin, path = origin_of(issuer), urlsplit(issuer).path.rstrip("/")
    if not path:
        return [origin + OAUTH_METADATA, origin + OPENID_METADATA]
    return [origin + OAUTH_METADATA + path, origin + OPENID_METADATA + path, origin + path + OPENID_METADATA]


def resource_urls(url: str) -> list[str]:
    """Where a resource's metadata may be: by RFC 9728 section 3.1, then at the root, as MCP prescribes."""
    parts, root = urlsplit(url), origin_of(url) + RESOURCE_METADATA
    path = "" if parts.path == "/" else parts.path
    return list(dict.fromkeys((f"{root}{path}?{parts.query}" if parts.query else f"{root}{path}", root)))


def covers(resource: str, url: str) -> bool:
    """Whether the identifier `resource` covers the server at `url`: it is that URL or a parent of it.

    RFC 9728 section 3.3 demands the URL itself. Servers also name a parent: the same origin, and a path that the URL
    continues with another segment or a query.
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
    # Whole segments only: `/mcp` is no parent of `/mcp-other`.
    return path == parent or path.startswith(parent if parent.endswith("/") else f"{parent}/")


def _expected_by(profile: CredentialProfile) -> str:
    """What names the expected issuer, for an error."""
    if profile.trust is IssuerTrust.SAME_ORIGIN or profile.resource is None:
        return "the server's address is"
    return f"the metadata of the resource {_quoted(profile.resource)} names"


def _identifier(url: str) -> str:
    """`url` normalised for a key, without the slash of an empty path."""
    spelled = normalized(url)
    return origin_of(url) if spelled == f"{origin_of(url)}/" else spelled


def _first(challenges: tuple[Challenge, ...], name: str) -> str:
    """The first value of a parameter, token challenges first; empty when there is none."""
    token = [one for one in challenges if one.scheme in TOKEN_SCHEMES]
    others = [one for one in challenges if one.scheme not in TOKEN_SCHEMES]
    return next((one.parameters[name] for one in (*token, *others) if one.parameters.get(name)), "")


def _quoted(value: object) -> str:
    return f"“{value[:SHOWN_CHARACTERS]}”" if isinstance(value, str) else "nothing"


def _quoted_list(texts: tuple[str, ...]) -> str:
    return _quoted(", ".join(texts) or None)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()


def _scopes(named: Iterable[str]) -> tuple[str, ...]:
    """The valid scopes (RFC 6749 section 3.3) in their order, each once."""
    return tuple(dict.fromkeys(one for one in named if SCOPE_TOKEN.fullmatch(one)))


def _read_resource(answer: dict[str, Any], url: str, found_at: str, scope: str) -> ProtectedResource:
    resource = answer.get("resource")
    if not isinstance(resource, str) or not covers(resource, url):
        raise ProtocolTrouble(
            f"{found_at} describes the resource {_quoted(resource)}, but the server is {_quoted(url)}."
        )
    issuers = _texts(answer.get("authorization_servers"))
    # An issuer has neither a query nor a fragment (RFC 8414 section 2).
    issuer = next((one for one in issuers if may_name(url, one) and "?" not in one and "#" not in one), None)
    if issuer is None:
        raise ProtocolTrouble(
            f"{found_at} names no authorization server that can be used; it names {_quoted_list(issuers)}."
        )
    return ProtectedResource(issuer, resource, _scopes(scope.split() or _texts(answer.get("scopes_supported"))))


def _is_absent(answer: OAuthResponse) -> bool:
    """Whether there is no metadata at a URL: not found, redirected, or anything that is no JSON object."""
    if answer.status != 200:
        return answer.status < 500 and answer.status != 429
    try:
        answer.object()
    except BurrowError:
        return True
    return False


def check_server_address(url: str) -> str:
    """`url` without surrounding spaces, if a credential may be sent there. Raises `Rejected` (attr `url`)."""
    typed = url.strip()
    if not is_confidential(typed):
        raise Rejected(
            "The address must be https, or http on this machine, and must not carry a user name.",
            Facts(attr="url"),
            action="Correct the address.",
        )
    return typed
