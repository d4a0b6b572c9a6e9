"""A bare httpx client: like the application's in everything that is not authentication."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx

from app.core.auth.http.clients import CONNECTIONS, KEEPALIVE_CONNECTIONS, TIMEOUT_SECONDS, USER_AGENT


def bare_client(headers: dict[str, str]) -> httpx.AsyncClient:
    """A client with these headers besides its own."""
    return httpx.AsyncClient(
        headers={"User-Agent": USER_AGENT, "Accept": "application/json", **headers},
        timeout=TIMEOUT_SECONDS,
        limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=KEEPALIVE_CONNECTIONS),
        verify=False,
    )
