"""Starting the rotating server and asking it, outside of what is measured, for grants and for what became of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

LATENCY_MS = 5.0


@dataclass(frozen=True)
class Pair:
    """One grant of the server, as it was issued."""

    number: int
    access: str
    refresh: str


@dataclass(frozen=True)
class Counters:
    """What happened to one grant: refreshes by outcome, and requests by whether its token was taken."""

    accepted: int
    rejected: int
    repeated: int
    revoked: bool
    good: int
    refused: int


class Control:
    """The way in behind the scenes of one server."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def new_grant(self, *, grace: float = 0.0) -> Pair:
        """A grant that nobody else has; for `grace` seconds a spent refresh token brings the same pair again."""
        answer = self._ask(f"grant?grace={grace}")
        return Pair(answer["number"], answer["access_token"], answer["refresh_token"])

    def kill(self, number: int) -> None:
        """The access token of a grant dies on the server; by the clock it lives on."""
        self._ask(f"kill?number={number}")

    def counters(self, number: int) -> Counters:
        return Counters(**self._ask(f"counters?number={number}"))

    def _ask(self, what: str) -> Any:
        connection = http.client.HTTPConnection(urlsplit(self.origin).netloc, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", f"/_control/{what}")
            return json.loads(connection.getresponse().read())


@contextlib.contextmanager
def rotating_server(latency_ms: float = LATENCY_MS) -> Iterator[Control]:
    """A server process whose every answer takes `latency_ms`; it ends with the block."""
    script = Path(__file__).with_name("_rotating_server.py")
    with subprocess.Popen(
        [sys.executable, str(script), str(latency_ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Control(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.stdin.close()
