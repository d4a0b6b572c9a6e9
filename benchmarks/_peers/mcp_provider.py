"""The MCP Python SDK's own provider on a dead token: `mcp_provider.py ORIGIN REQUESTS`, run in its environment.

The storage holds the pair and the client that it was issued to. By the clock the token lives; nobody is there to sign
in, so opening the browser raises.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import urllib.request
from typing import Any

import httpx2
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

REDIRECT = "http://127.0.0.1:1/callback"


class Nobody(Exception):
    """Nobody is there to sign in."""


class Storage:
    """What a former sign-in left, in memory."""

    def __init__(self, tokens: OAuthToken, client: OAuthClientInformationFull) -> None:
        self.tokens: OAuthToken | None = tokens
        self.client: OAuthClientInformationFull | None = client

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def control(origin: str, what: str) -> Any:
    with urllib.request.urlopen(f"{origin}/_control/{what}") as answer:
        return json.loads(answer.read())


async def measure(origin: str, requests: int) -> dict[str, object]:
    grant = control(origin, "grant")
    opened = 0

    async def browser(address: str) -> None:
        nonlocal opened
        opened += 1
        raise Nobody

    async def callback() -> Any:
        raise Nobody

    tokens = OAuthToken(
        access_token=grant["access_token"], refresh_token=grant["refresh_token"], expires_in=grant["expires_in"]
    )
    client_info = OAuthClientInformationFull(
        client_id="bench", redirect_uris=[REDIRECT], token_endpoint_auth_method="none", issuer=origin
    )
    provider = OAuthClientProvider(
        f"{origin}/mcp",
        OAuthClientMetadata(client_name="Bench", redirect_uris=[REDIRECT]),
        Storage(tokens, client_info),
        browser,
        callback,
    )
    async with httpx2.AsyncClient(auth=provider, timeout=120) as client:
        (await client.get(f"{origin}/mcp")).raise_for_status()
        control(origin, f"kill?number={grant['number']}")
        began = time.perf_counter()
        answers = await asyncio.gather(*(client.get(f"{origin}/mcp") for _ in range(requests)), return_exceptions=True)
        took = time.perf_counter() - began
    failed = sum(isinstance(answer, BaseException) or answer.status_code != 200 for answer in answers)
    return {"number": grant["number"], "failed": failed, "browsers": opened, "seconds": took}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2])))))
