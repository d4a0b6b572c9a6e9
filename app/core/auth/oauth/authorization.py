"""AuthorizationRequest: one request to the authorization endpoint, with the secrets that its response must match.

RFC 6749 section 4.1, PKCE with S256 (RFC 7636), issuer identification (RFC 9207), resource indicators (RFC 8707).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from app.core.redaction import hide

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.core.auth.metadata import ServerMetadata
    from app.core.auth.profile import CredentialProfile

OFFLINE_ACCESS = "offline_access"


@dataclass(frozen=True, slots=True, repr=False)
class AuthorizationRequest:
    """`state` ties the response to this request, `verifier` the code to this client.

    `issuer` is the one that the request was sent to. With `must_name_issuer` a response without `iss` is refused.
    """

    url: str
    redirect_uri: str
    state: str
    verifier: str
    issuer: str
    must_name_issuer: bool
    scope: str
    resource: str | None

    def __post_init__(self) -> None:
        hide(self.state, self.verifier)

    @property
    def challenge(self) -> str:
        """The S256 code challenge (RFC 7636 section 4.2)."""
        return _challenge(self.verifier)

    def is_answered_by(self, state: str | None) -> bool:
        """Whether a response with this `state` was made for this request."""
        return hmac.compare_digest(self.state.encode(), (state or "").encode())

    def is_answered_from(self, issuer: str | None) -> bool:
        """Whether a response with this `iss` comes from the server that the request was sent to (RFC 9207)."""
        # A wrong `iss` is refused even when the metadata promises none: the response comes from another server, and the
        # code must not be sent to this one.
        if issuer is None:
            return not self.must_name_issuer
        return hmac.compare_digest(self.issuer.encode(), issuer.encode())


def authorization_request(
    metadata: ServerMetadata,
    profile: CredentialProfile,
    client_id: str,
    redirect_uri: str,
    *,
    scopes: Iterable[str] = (),
    parameters: Mapping[str, str] | None = None,
) -> AuthorizationRequest:
    """A request with PKCE S256, a new verifier and a new `state`; `url` is to be opened in the browser.

    `scopes` are requested in addition to the profile's. `parameters` are added to this request only.
    """
    verifier = secrets.token_urlsafe(48)
    state = secrets.token_urlsafe(32)
    requested = [scope for scope in dict.fromkeys((*profile.scopes, *scopes)) if scope != OFFLINE_ACCESS]
    if requested and OFFLINE_ACCESS in metadata.scopes:
        # Servers that offer this scope issue a refresh token only to clients that request it. For the others it is an
        # invalid scope, even where the resource lists it. Alone it would narrow the default scopes of a server.
        requested.append(OFFLINE_ACCESS)
    scope = " ".join(requested)
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "code_challenge": _challenge(verifier),
        "code_challenge_method": "S256",
        "scope": scope,
        "state": state,
        "resource": profile.resource or "",
        # OpenID Connect Core section 11: offline access needs consent.
        "prompt": "consent" if OFFLINE_ACCESS in requested else "",
        **dict(profile.parameters),
        **(parameters or {}),
    }
    separator = "&" if urlsplit(metadata.authorization_endpoint).query else "?"
    stated = urlencode({name: value for name, value in query.items() if value})
    url = f"{metadata.authorization_endpoint}{separator}{stated}"
    return AuthorizationRequest(
        url, redirect_uri, state, verifier, metadata.issuer, metadata.names_issuer, scope, profile.resource
    )


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
