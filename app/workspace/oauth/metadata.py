"""Metadata documents of the authorization server and of the protected resources (RFC 8414, RFC 9728)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from app.workspace.oauth.clients import SELF_SERVE
from app.workspace.runtime.context import workspace_of
from app.workspace.web.errors import reply

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

# Offered because PostHog offers it. No issuer is trusted here, so every assertion is refused.
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def routes() -> list[BaseRoute]:
    return [
        Route("/.well-known/oauth-authorization-server", authorization_server, methods=["GET"]),
        Route("/.well-known/openid-configuration", openid_configuration, methods=["GET"]),
        Route("/.well-known/oauth-protected-resource", protected_resource, methods=["GET"]),
        Route("/.well-known/oauth-protected-resource/mcp", protected_mcp, methods=["GET"]),
        Route("/.well-known/jwks.json", key_set, methods=["GET"]),
    ]


async def authorization_server(request: Request) -> Response:
    return reply(_metadata(workspace_of(request).settings.url))


async def openid_configuration(request: Request) -> Response:
    url = workspace_of(request).settings.url
    return reply(
        {
            **_metadata(url),
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": ["sub", "email", "email_verified", "name", "given_name", "family_name"],
        }
    )


async def protected_resource(request: Request) -> Response:
    url = workspace_of(request).settings.url
    return reply(_resource(url, url, "Burrow workspace"))


async def protected_mcp(request: Request) -> Response:
    settings = workspace_of(request).settings
    return reply(_resource(settings.url, settings.mcp_url, "Burrow workspace MCP server"))


async def key_set(_request: Request) -> Response:
    """Empty: access tokens are opaque and no identity token is issued."""
    return reply({"keys": []})


def _metadata(url: str) -> dict[str, object]:
    return {
        "issuer": url,
        "authorization_endpoint": f"{url}/oauth/authorize/",
        "token_endpoint": f"{url}/oauth/token/",
        "revocation_endpoint": f"{url}/oauth/revoke/",
        "introspection_endpoint": f"{url}/oauth/introspect/",
        "userinfo_endpoint": f"{url}/oauth/userinfo/",
        "registration_endpoint": f"{url}/oauth/register/",
        "jwks_uri": f"{url}/.well-known/jwks.json",
        "scopes_supported": list(SELF_SERVE),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", JWT_BEARER],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "private_key_jwt"],
        "revocation_endpoint_auth_methods_supported": ["none", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": False,
    }


def _resource(issuer: str, resource: str, name: str) -> dict[str, object]:
    return {
        "resource": resource,
        "resource_name": name,
        "authorization_servers": [issuer],
        "scopes_supported": list(SELF_SERVE),
        "bearer_methods_supported": ["header"],
    }
