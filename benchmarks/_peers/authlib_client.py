"""authlib's `AsyncOAuth2Client` on a dead token: `authlib_client.py ORIGIN REQUESTS`, run in its environment.

By the clock the token lives; `update_token` is set, so that the client may renew.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request
from typing import Any

from authlib.integrations.httpx_client import AsyncOAuth2Client


def control(origin: str, what: str) -> Any:
    with urllib.request.urlopen(f"{origin}/_control/{what}") as answer:
        return json.loads(answer.read())


async def measure(origin: str, requests: int) -> dict[str, object]:
    grant = control(origin, "grant")
    stored: list[dict[str, Any]] = []

    async def update_token(token: dict[str, Any], **former: str) -> None:
        stored.append(token)

    token = {name: grant[name] for name in ("access_token", "refresh_token", "token_type", "expires_in")}
    token["expires_at"] = int(time.time()) + grant["expires_in"]
    async with AsyncOAuth2Client(
        client_id="bench",
        token_endpoint_auth_method="none",
        token=token,
        token_endpoint=f"{origin}/oauth/token/",
        update_token=update_token,
        timeout=120,
    ) as client:
        (await client.get(f"{origin}/api/")).raise_for_status()
        control(origin, f"kill?number={grant['number']}")
        began = time.perf_counter()
        answers = await asyncio.gather(*(client.get(f"{origin}/api/") for _ in range(requests)), return_exceptions=True)
        took = time.perf_counter() - began
    failed = sum(isinstance(answer, BaseException) or answer.status_code != 200 for answer in answers)
    return {"number": grant["number"], "failed": failed, "browsers": None, "seconds": took}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2])))))
