"""google-auth's `AuthorizedSession` on a dead token: `google_session.py ORIGIN REQUESTS`, run in its environment.

Fifty threads share one session and its credentials, which know when their token expires: not yet.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from google.auth.transport.requests import AuthorizedSession
from google.oauth2.credentials import Credentials

THREADS = 50


def control(origin: str, what: str) -> Any:
    with urllib.request.urlopen(f"{origin}/_control/{what}") as answer:
        return json.loads(answer.read())


def measure(origin: str, requests: int) -> dict[str, object]:
    grant = control(origin, "grant")
    credentials = Credentials(
        grant["access_token"],
        refresh_token=grant["refresh_token"],
        token_uri=f"{origin}/oauth/token/",
        client_id="bench",
        client_secret="bench",
        # Credentials compare with a naive UTC time.
        expiry=datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=grant["expires_in"]),
    )
    session = AuthorizedSession(credentials)
    session.get(f"{origin}/api/").raise_for_status()

    def one(_: int) -> bool:
        try:
            return session.get(f"{origin}/api/", timeout=120).status_code == 200
        except Exception:  # noqa: BLE001 - whatever the library raises is a request that failed
            return False

    with ThreadPoolExecutor(THREADS) as threads:
        control(origin, f"kill?number={grant['number']}")
        began = time.perf_counter()
        good = sum(threads.map(one, range(requests)))
        took = time.perf_counter() - began
    return {"number": grant["number"], "failed": requests - good, "browsers": None, "seconds": took}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
