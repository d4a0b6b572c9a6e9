"""The profiles of PostHog's credentials, and the two ways to sign in without a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.auth.grant.grant import Grant
from app.core.auth.key import CredentialKey
from app.core.auth.metadata import ServerMetadata
from app.core.auth.profile import ClientIdentity, CredentialProfile, IssuerTrust
from app.core.auth.tokens import TokenSet
from app.core.errors import Facts, Rejected
from app.core.hosts import WORKSPACE

if TYPE_CHECKING:
    from app.core.auth.credential import Credential
    from app.core.hosts import Host

SCOPES = (
    "openid",
    "user:read",
    "organization:read",
    "project:read",
    "task:read",
    "task:write",
    "integration:read",
)
# A hint for the consent page: ask for one or several projects, not for a whole organisation.
PARAMETERS = (("required_access_level", "project"),)
PERSONAL_KEY_PREFIX = "phx_"
# Never opened: the code is read from the redirect itself. Any loopback URL would do.
TICKET_REDIRECT = "http://127.0.0.1:1/callback"


def posthog_profile(host: Host, slot: str = "") -> CredentialProfile:
    """The profile of an account on a PostHog-compatible server: cloud, self-hosted or the embedded workspace.

    The server is its own authorization server. One without metadata has PostHog's documented endpoints (docs/wire.md,
    "Authorization server metadata").
    """
    # The embedded workspace has another origin at each start, so its key has a fixed name as the issuer.
    base = f"{host.origin}/oauth"
    return CredentialProfile(
        CredentialKey(WORKSPACE if host.embedded else host.origin, slot=slot),
        host.name,
        host.origin,
        host.origin,
        IssuerTrust.SAME_ORIGIN,
        resource=host.resource,
        scopes=SCOPES,
        parameters=PARAMETERS,
        client=None if host.client_id is None else ClientIdentity(host.client_id),
        documented=ServerMetadata(
            host.origin, f"{base}/authorize/", f"{base}/token/", f"{base}/register/", f"{base}/revoke/"
        ),
        check_url=f"{host.origin}/api/users/@me/",
        registration_advice="Ask its administrator for an OAuth client id, or use a personal API key.",
    )


async def sign_in_with_ticket(credential: Credential, ticket: str) -> None:
    """Sign in to the embedded workspace with a single-use ticket, which stands for a user who approves.

    Raises `Rejected` when the workspace does not accept the ticket.
    """
    oauth, registrar = credential.oauth, credential.registrar
    metadata = await registrar.metadata()
    registration = await registrar.registration(metadata)
    request = oauth.request_authorization(
        metadata, registration.client_id, TICKET_REDIRECT, parameters={"login_ticket": ticket}
    )
    code = await oauth.authorize_directly(request)
    tokens, registration = await oauth.exchange(metadata, registration, code, request)
    await credential.sign_in(Grant.issued(tokens, registration, request.resource), "ticket")


async def sign_in_with_key(credential: Credential, key: str) -> None:
    """Sign in with a personal API key, which is never refreshed. Raises `Rejected` (attr `key`) when it is none."""
    typed = key.strip()
    if not typed.startswith(PERSONAL_KEY_PREFIX) or not typed.isascii() or not typed.isprintable() or " " in typed:
        raise Rejected("A personal API key starts with phx_.", Facts(attr="key"), action="Paste the whole key.")
    await credential.sign_in(Grant(TokenSet(typed, issued_at=credential.oauth.time.now())), "personal API key")
