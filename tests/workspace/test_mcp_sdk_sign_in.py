"""The MCP SDK's own OAuth client signs in to a vendor and to the workspace, knowing nothing but an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

from tests.workspace.store_client import consent, query_of

if TYPE_CHECKING:
    from tests.workspace.lab import Lab

CALLBACK = "http://127.0.0.1:43211/callback"


class Memory(TokenStorage):
    """Tokens for as long as the test runs."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Browser:
    """Answers the authorization request of one flow."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.answer: dict[str, str] = {}

    async def open(self, address: str) -> None:
        if "/_vendor/" in address:
            returned = consent(self.lab.http, address)
        else:
            returned = self.lab.http.get(address, params={**query_of(address), "login_ticket": self.lab.ticket()})
        self.answer = query_of(returned.headers["location"])

    async def wait(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(
            code=self.answer["code"], state=self.answer.get("state"), iss=self.answer.get("iss")
        )


@pytest.mark.parametrize(("path", "tool"), [("/_vendor/ledger/mcp", "list_invoices"), ("/mcp", "list_event_names")])
async def test_the_sdk_signs_in_by_itself(lab: Lab, path: str, tool: str) -> None:
    browser, memory = Browser(lab), Memory()
    metadata = OAuthClientMetadata(
        client_name="Probe",
        redirect_uris=[AnyUrl(CALLBACK)],
        grant_types=["authorization_code", "refresh_token"],
        token_endpoint_auth_method="none",
    )
    auth = OAuthClientProvider(
        server_url=lab.workspace.url + path,
        client_metadata=metadata,
        storage=memory,
        redirect_handler=browser.open,
        callback_handler=browser.wait,
    )
    async with (
        httpx2.AsyncClient(auth=auth, trust_env=False, timeout=20) as http,
        Client(streamable_http_client(lab.workspace.url + path, http_client=http), cache=None) as client,
    ):
        result = await client.call_tool(tool, {})
    assert not result.is_error
    assert memory.tokens is not None
    assert memory.tokens.refresh_token
