"""A bench for answers: a real server that gives one, a session whose token is dead, and real clients that ask.

The token is dead before each request, and the server gives the answer on the bench to every token but the live one. So
an answer that heals is seen once and never reaches the caller; any other reaches it as it was sent. What an ambiguous
answer comes to is the host's word: it is given twice, at a host that refuses the token and at one that accepts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import httpx2

from app.core.auth.grant.grant import Grant
from app.core.auth.http.target import Target
from app.core.auth.tokens import TokenSet
from tests.core.conftest import Rig, signed_in
from tests.core.scripted import DEAD, Reply
from tests.faults.labelled import Labelled

ALIVE = b'{"jsonrpc":"2.0","id":1,"result":{"alive":true}}'
CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count","arguments":{}}}'
# The brake on renewals would stop a session that heals so often.
RENEWALS_A_SIGN_IN = 3
CHECK = "/api/users/@me/"
BODILESS = frozenset({204, 304})


@dataclass(frozen=True)
class Outcome:
    """What one request came to: renewals at the token endpoint, requests at the server, what the caller read."""

    renewals: int
    requests: int
    status: int
    body: bytes
    should_heal: bool

    @property
    def healed(self) -> bool:
        return (self.renewals, self.requests, self.body) == (1, 2, ALIVE)

    def passed(self, answer: Labelled) -> bool:
        """Whether the caller got this very answer, byte for byte, and nothing else happened."""
        return (self.renewals, self.requests, self.status, self.body) == (0, 1, answer.status, answer.body)


class AnsweringServer:
    """Gives `answer` in chunks of `piece` bytes, and `ALIVE` to the live token."""

    def __init__(self, rig: Rig) -> None:
        self.answer: Labelled | None = None
        self.piece = 0
        self.requests = 0
        self.origin = ""
        self._rig = rig
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[AnsweringServer]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for writer in self._connections.values():
                writer.transport.abort()
            await asyncio.gather(*self._connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                await reader.readexactly(int(fields.get("content-length", "0")))
                self.requests += 1
                alive = fields.get("authorization") == f"bearer {self._rig.issuer.access_token}"
                writer.write(_alive() if alive else self._answer())
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            del self._connections[task]
            writer.close()

    def _answer(self) -> bytes:
        answer = self.answer
        assert answer is not None
        body = b"" if answer.status in BODILESS else answer.sent
        headers = [*answer.headers, ("Transfer-Encoding", "chunked") if self.piece else ("Content-Length", len(body))]
        if self.piece:
            body = b"".join(_chunk(body[at : at + self.piece]) for at in range(0, len(body), self.piece)) + _chunk(b"")
        lines = [f"HTTP/1.1 {answer.status} As labelled", *(f"{name}: {value}" for name, value in headers), "", ""]
        return "\r\n".join(lines).encode("latin-1") + body


class Bench:
    """Sends one request for one answer, as REST does and as the MCP SDK's client does."""

    def __init__(self, rig: Rig, server: AnsweringServer, clients: dict[str, Any]) -> None:
        self._rig = rig
        self._server = server
        self._clients = clients
        self._known: dict[str, dict[str, Outcome]] = {}
        self._renewals_since_sign_in = 0

    async def outcomes(self, answer: Labelled) -> dict[str, Outcome]:
        """How it went, for each client that may meet such an answer and each way of sending it; asked once."""
        if answer.name not in self._known:
            kinds = ("httpx", "httpx2") if answer.jsonrpc else ("httpx",)
            hosts: tuple[bool | None, ...] = (True, False) if answer.ambiguous else (None,)
            asked: dict[str, Outcome] = {}
            for kind, piece, refuses in product(kinds, answer.pieces, hosts):
                way = f"{kind}, pieces of {piece}, host refuses the token: {refuses}"
                asked[way] = await self._ask(answer, kind, piece, refuses)
            self._known[answer.name] = asked
        return self._known[answer.name]

    async def _ask(self, answer: Labelled, kind: str, piece: int, refuses: bool | None) -> Outcome:
        issuer, server = self._rig.issuer, self._server
        # The host is asked once for each token.
        if refuses is not None or self._renewals_since_sign_in >= RENEWALS_A_SIGN_IN:
            await self._sign_in_again()
        self._rig.server.views[CHECK] = DEAD if refuses else Reply(200, {"uuid": "ana"})
        issuer.kill()
        server.answer, server.piece = answer, piece
        renewals, requests = issuer.accepted + issuer.rejected, server.requests
        target = Target(
            frozenset({server.origin}),
            answer.at_stake,
            jsonrpc=answer.jsonrpc,
            reports_own_auth=answer.reports_own_auth,
        )
        response = await self._clients[kind].request(
            answer.method,
            f"{server.origin}/mcp" if answer.jsonrpc else f"{server.origin}/api/x/",
            content=CALL if answer.method == "POST" else None,
            auth=self._rig.credential.auth(target),
        )
        renewed = issuer.accepted + issuer.rejected - renewals
        self._renewals_since_sign_in += renewed
        asked = server.requests - requests
        heals = answer.heals if refuses is None else refuses
        return Outcome(renewed, asked, response.status_code, response.content, heals)

    async def _sign_in_again(self) -> None:
        issuer = self._rig.issuer
        issuer.renewal(issuer.refresh_token)
        tokens = TokenSet(issuer.access_token, issuer.refresh_token)
        await self._rig.credential.sign_in(Grant(tokens, "client"), "bench")
        self._renewals_since_sign_in = 0


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    """A bench with one session, one server and one client of each library."""
    async with AsyncExitStack() as stack:
        rig = await stack.enter_async_context(signed_in(folder))
        # Each sign-in revokes the grant that it replaces. This issuer has one grant only.
        rig.server.views["/oauth/revoke/"] = Reply(200)
        server = await stack.enter_async_context(AnsweringServer(rig).running())
        clients = {
            "httpx": await stack.enter_async_context(httpx.AsyncClient(verify=False, trust_env=False)),
            "httpx2": await stack.enter_async_context(httpx2.AsyncClient(verify=False, trust_env=False)),
        }
        yield Bench(rig, server, clients)


def _alive() -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(ALIVE), ALIVE)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
