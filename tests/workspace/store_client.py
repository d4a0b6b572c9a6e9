"""A signed-in client of the MCP store and its proxies, and a browser that answers a vendor's consent page."""

from __future__ import annotations

import re
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.workspace.lab import Lab, Tokens

BASE = "/api/environments/1"
ERAS = ("legacy", "auto")


class Store:
    """The store as one person sees it. Throttles are lifted unless `throttled`."""

    def __init__(self, lab: Lab, tokens: Tokens | None = None, *, throttled: bool = False) -> None:
        self.lab = lab
        self.tokens = tokens or lab.sign_in()
        lab.switch("mcp", throttles=throttled)

    @property
    def url(self) -> str:
        return self.lab.workspace.url

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {**self.tokens.header, **options.pop("headers", {})}
        return self.lab.http.request(method, BASE + path, headers=headers, **options)

    def installations(self) -> list[dict[str, Any]]:
        answer = self.ask("GET", "/mcp_server_installations/")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["results"])

    def named(self, name: str) -> dict[str, Any]:
        return next(one for one in self.installations() if one["name"] == name)

    def template(self, name: str) -> dict[str, Any]:
        results = self.ask("GET", "/mcp_servers/").json()["results"]
        return next(one for one in results if one["name"] == name)

    def one(self, wanted: str, method: str = "GET", **options: Any) -> httpx.Response:
        return self.ask(method, f"/mcp_server_installations/{wanted}/", **options)

    def tools(self, wanted: str, **query: str) -> list[dict[str, Any]]:
        answer = self.ask("GET", f"/mcp_server_installations/{wanted}/tools/", params=query)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["results"])

    def refresh_tools(self, wanted: str) -> httpx.Response:
        return self.ask("POST", f"/mcp_server_installations/{wanted}/tools/refresh/")

    def decide(self, wanted: str, tool: str, state: str) -> httpx.Response:
        path = f"/mcp_server_installations/{wanted}/tools/{tool}/"
        return self.ask("PATCH", path, json={"approval_state": state})

    def proxy(self, wanted: str, message: object, **headers: str) -> httpx.Response:
        accepted = {"accept": "application/json, text/event-stream", **headers}
        return self.ask("POST", f"/mcp_server_installations/{wanted}/proxy/", json=message, headers=accepted)

    def call(self, wanted: str, tool: str, **arguments: Any) -> httpx.Response:
        return self.proxy(wanted, modern("tools/call", name=tool, arguments=arguments), **modern_headers(tool))

    def authorize(self, **query: str) -> str:
        query = {"install_source": "posthog-code", **query}
        answer = self.ask("GET", "/mcp_server_installations/authorize/", params=query)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["redirect_url"])

    def connect_ledger(self) -> dict[str, Any]:
        """Finish connecting the seeded Ledger, or connect it again."""
        ledger = self.named("Ledger")
        end = approve(self.lab.http, self.authorize(installation_id=ledger["id"]))
        assert end.status_code == 302, end.text
        assert "oauth_complete=true" in end.headers["location"]
        return self.named("Ledger")


def consent(browser: httpx.Client, address: str, decision: str = "approve") -> httpx.Response:
    """Open a vendor's authorize page and press a button; the answer is its redirect."""
    page = browser.get(address)
    assert page.status_code == 200, page.text
    [ticket] = re.findall(r'name="ticket" value="([^"]+)"', page.text)
    [action] = re.findall(r'action="([^"]+)"', page.text)
    return browser.post(action, data={"ticket": ticket, "decision": decision})


def approve(browser: httpx.Client, address: str, decision: str = "approve") -> httpx.Response:
    """The whole way in the browser: consent, then the store's redirect address; its answer."""
    sent = consent(browser, address, decision)
    assert sent.status_code == 302, sent.text
    return browser.get(sent.headers["location"])


def query_of(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


def modern(method: str, request_id: int = 1, **params: Any) -> dict[str, Any]:
    """A self-contained request of revision 2026-07-28."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "probe", "version": "1"},
    }
    own = params.pop("meta", {})
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": {**params, "_meta": {**meta, **own}}}


def modern_headers(name: str | None = None, method: str = "tools/call") -> dict[str, str]:
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": method}
    return headers if name is None else {**headers, "mcp-name": name}


@asynccontextmanager
async def connected(url: str, token: str, era: str) -> AsyncIterator[Client]:
    """The SDK's own client on an endpoint or a proxy, in one protocol era."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=20) as http,
        Client(streamable_http_client(url, http_client=http), mode=era, cache=None) as client,
    ):
        yield client


def until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true value of `condition`, asked again and again within a bound."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return value
