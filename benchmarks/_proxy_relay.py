"""A pure relay in its own process: it passes on and does nothing else. What an HTTP library costs in such a place.

`python benchmarks/_proxy_relay.py KIND URL` prints its port and serves until its input ends. KIND is `httptools`
(Burrow's own HTTP) or `aiohttp`.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# RFC 9110 section 7.6.1, and what each side sets itself.
NOT_PASSED = frozenset(
    {b"host", b"content-length", b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade"}
)


def bound() -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", 0))
    return found


async def until_input_ends(port: int) -> None:
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def own(url: str) -> None:
    from app.core.auth.http.transport import tls_context
    from app.core.mcp.proxy.http.sender import DirectSender
    from app.core.mcp.proxy.http.server import LoopbackServer

    sender = DirectSender(tls_context)

    async def relay(request: Any, responder: Any) -> None:
        headers = tuple([pair for pair in request.headers if pair[0] not in NOT_PASSED])
        answer = await sender.send(request.method, url, headers, request.body)
        length = None
        passed = []
        for pair in answer.headers:
            if pair[0] == b"content-length":
                length = int(pair[1])
            elif pair[0] not in NOT_PASSED:
                passed.append(pair)
        responder.start(answer.status, passed, length=length)
        while data := await answer.read():
            await responder.write(data)
        responder.end()

    server = LoopbackServer(relay)
    listener = bound()
    port = listener.getsockname()[1]
    await server.listen([listener])
    await until_input_ends(port)
    await server.close()
    await sender.close()


async def with_aiohttp(url: str) -> None:
    import aiohttp
    from aiohttp import web

    not_passed = frozenset(name.decode() for name in NOT_PASSED)
    session = aiohttp.ClientSession(
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=aiohttp.ClientTimeout(),
    )

    async def relay(request: web.BaseRequest) -> web.StreamResponse:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in not_passed]
        body = await request.read()
        async with session.request(request.method, url, headers=headers, data=body, allow_redirects=False) as answer:
            passed = [(name, value) for name, value in answer.headers.items() if name.lower() not in not_passed]
            if answer.content_length is not None:
                # The quick way that its documentation shows for an answer of a known length.
                return web.Response(status=answer.status, headers=passed, body=await answer.read())
            response = web.StreamResponse(status=answer.status, headers=passed)
            await response.prepare(request)
            async for data in answer.content.iter_any():
                await response.write(data)
            await response.write_eof()
            return response

    runner = web.ServerRunner(web.Server(relay, access_log=None))
    await runner.setup()
    listener = bound()
    port = listener.getsockname()[1]
    await web.SockSite(runner, listener).start()
    await until_input_ends(port)
    await runner.cleanup()
    await session.close()


if __name__ == "__main__":
    asyncio.run({"httptools": own, "aiohttp": with_aiohttp}[sys.argv[1]](sys.argv[2]))
