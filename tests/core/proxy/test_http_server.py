"""The HTTP server of the proxy: what it answers to requests that are right."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from app.core.mcp.proxy.http.limits import Limits
from app.core.mcp.proxy.http.server import LoopbackServer
from app.core.mcp.proxy.parts import Request, Responder
from tests.core.proxy._http import bound, connected, echo, serving
from tests.until import until

POST = b"POST /mcp/a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"


def post(body: bytes) -> bytes:
    return POST % (len(body), body)


async def test_a_connection_serves_one_request_after_the_other() -> None:
    async with serving(echo) as at, connected(at.port) as client:
        for body in (b"one", b"", b"three" * 100_000):
            client.send(post(body))
            status, headers, answer = await client.answer()
            assert (status, answer) == (200, b"POST /mcp/a? " + body)
            assert "connection" not in headers
            assert headers["date"].endswith(" GMT")


async def test_pipelined_requests_are_answered_in_order_and_one_at_a_time() -> None:
    running = 0

    async def slower_first(request: Request, responder: Responder) -> None:
        nonlocal running
        running += 1
        assert running == 1
        for _ in range(5 - len(request.body)):
            await asyncio.sleep(0)
        running -= 1
        await echo(request, responder)

    async with serving(slower_first) as at, connected(at.port) as client:
        client.send(b"".join(post(b"x" * size) for size in range(5)))
        answers = [(await client.answer())[2] for _ in range(5)]
        assert answers == [b"POST /mcp/a? " + b"x" * size for size in range(5)]


async def test_a_request_that_comes_byte_by_byte_is_the_same_request() -> None:
    async with serving(echo) as at, connected(at.port) as client:
        for (
            byte
        ) in b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n":
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.answer())[2] == b"POST /a?b=c abc"


async def test_names_of_headers_are_in_lower_case_and_values_without_space_around() -> None:
    seen: list[Request] = []

    async def remember(request: Request, responder: Responder) -> None:
        seen.append(request)
        await echo(request, responder)

    async with serving(remember) as at, connected(at.port) as client:
        client.send(b"GET /a HTTP/1.1\r\nHOST:x\r\nX-One: \t 1 2 \t\r\nx-one:\r\n\r\n")
        await client.answer()
    assert seen[0].headers == ((b"host", b"x"), (b"x-one", b"1 2"), (b"x-one", b""))
    assert seen[0].header(b"x-one") == b"1 2"


@pytest.mark.parametrize(
    ("request_bytes", "kept"),
    [
        (b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", True),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", False),
        (b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: TE, Close\r\n\r\n", False),
        (b"GET /a HTTP/1.0\r\nHost: x\r\n\r\n", False),
        (b"GET /a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
async def test_a_connection_is_kept_as_the_client_says(request_bytes: bytes, kept: bool) -> None:
    async with serving(echo) as at, connected(at.port) as client:
        client.send(request_bytes)
        status, headers, _ = await client.answer()
        assert status == 200
        assert headers.get("connection", "keep-alive") == ("keep-alive" if kept else "close")
        if kept:
            client.send(request_bytes)
            assert (await client.answer())[0] == 200
        else:
            assert await client.closed()


async def test_a_body_without_a_length_comes_in_chunks_and_to_http_1_0_until_the_end() -> None:
    async def parts(request: Request, responder: Responder) -> None:
        responder.start(200, [])
        for part in (b"one", b"", b"two"):
            await responder.write(part)
        responder.end()

    async with serving(parts) as at:
        async with connected(at.port) as client:
            client.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            await client.head()
            assert [part async for part in client.chunks()] == [b"one", b"two"]
        async with connected(at.port) as client:
            client.send(b"GET /a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
            status, headers, body = await client.answer()
            assert (status, headers["connection"], body) == (200, "close", b"onetwo")


async def test_head_204_and_304_have_no_body() -> None:
    async def answer(request: Request, responder: Responder) -> None:
        status = int(request.path[1:])
        responder.start(status, [], length=5)
        await responder.write(b"12345")
        responder.end()

    async with serving(answer) as at, connected(at.port) as client:
        client.send(b"HEAD /200 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.head())[1]["content-length"] == "5"
        for status in (204, 304):
            client.send(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % status)
            answered, headers = await client.head()
            assert (answered, "content-length" in headers, "transfer-encoding" in headers) == (status, False, False)
        client.send(b"GET /200 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.answer())[2] == b"12345"


async def test_a_client_that_expects_100_continue_gets_it_before_it_sends_the_body() -> None:
    async with serving(echo) as at, connected(at.port) as client:
        client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
        assert (await client.head())[0] == 100
        client.send(b"hi")
        assert (await client.answer())[2] == b"POST /a? hi"


async def test_framing_is_the_servers_and_headers_with_line_breaks_are_not_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def answer(request: Request, responder: Responder) -> None:
        if request.path == "/bad":
            responder.start(200, [(b"x-bad", b"1\r\nset-cookie: a=b")])
        responder.start(200, [(b"content-length", b"99"), (b"connection", b"close"), (b"date", b"never")], length=2)
        await responder.write(b"ok")
        responder.end()

    async with serving(answer) as at, connected(at.port) as client:
        client.send(b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.answer())[1] == {"date": "never", "content-length": "2"}
        with caplog.at_level(logging.CRITICAL):
            client.send(b"GET /bad HTTP/1.1\r\nHost: x\r\n\r\n")
            status, headers, _ = await client.answer()
        assert (status, "set-cookie" in headers) == (500, False)


async def test_a_handler_that_fails_is_a_500_before_its_head_and_a_cut_answer_after_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(request: Request, responder: Responder) -> None:
        if request.path == "/late":
            responder.start(200, [])
            await responder.write(b"part")
        if request.path == "/unfinished":
            responder.start(200, [])
            return
        raise RuntimeError("a defect")

    with caplog.at_level(logging.CRITICAL):
        async with serving(fail) as at:
            async with connected(at.port) as client:
                client.send(b"GET /early HTTP/1.1\r\nHost: x\r\n\r\n")
                status, headers, _ = await client.answer()
                assert (status, headers["connection"]) == (500, "close")
            for path in (b"/late", b"/unfinished"):
                async with connected(at.port) as client:
                    client.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
                    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                        await client.answer()


async def test_a_client_that_closes_its_side_still_gets_its_answers() -> None:
    gate = asyncio.Event()

    async def wait(request: Request, responder: Responder) -> None:
        await gate.wait()
        await echo(request, responder)

    async with serving(wait) as at, connected(at.port) as client:
        client.send(post(b"one") + post(b"two"))
        client.writer.write_eof()
        await until(lambda: at.server.running == 1)
        gate.set()
        assert (await client.answer())[2] == b"POST /mcp/a? one"
        assert (await client.answer())[2] == b"POST /mcp/a? two"
        assert await client.closed()


async def test_more_requests_than_may_run_wait_for_their_turn() -> None:
    running = most = 0
    gate = asyncio.Event()

    async def count(request: Request, responder: Responder) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        await echo(request, responder)

    async with serving(count, Limits(requests=2)) as at:

        async def one() -> int:
            async with connected(at.port) as client:
                client.send(post(b"x"))
                return (await client.answer())[0]

        asking = [asyncio.create_task(one()) for _ in range(6)]
        await until(lambda: (at.server.running, at.server.waiting) == (2, 4))
        gate.set()
        assert await asyncio.gather(*asking) == [200] * 6
        assert most == 2
        assert at.server.running == 0


async def test_closing_lets_requests_end_within_the_grace_and_cancels_them_after_it() -> None:
    cancelled = asyncio.Event()
    started = asyncio.Event()

    async def hang(request: Request, responder: Responder) -> None:
        started.set()
        try:
            await asyncio.sleep(0.05 if request.path == "/short" else 60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        await echo(request, responder)

    for path, grace in ((b"/short", 10.0), (b"/long", 0.05)):
        started.clear()
        async with serving(hang) as at, connected(at.port) as client, connected(at.port) as idle:
            client.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            await started.wait()
            await at.server.close(grace)
            assert await idle.closed()
            if path == b"/short":
                assert (await client.answer())[0] == 200
            assert await client.closed()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", at.port))
    assert cancelled.is_set()


async def test_a_request_that_arrived_and_was_not_read_yet_is_answered_before_the_end() -> None:
    async with serving(echo) as at:
        with socket.create_connection(("127.0.0.1", at.port)) as client:
            client.sendall(post(b"first"))
            reading = asyncio.to_thread(client.recv, 65536)
            assert b"first" in await reading
            # The loop does not turn between these two.
            client.sendall(post(b"second"))
            await at.server.close(10.0)
            client.setblocking(False)
            answer = client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" in answer
            assert b"second" in answer


async def test_a_request_whose_body_is_on_its_way_is_answered_before_the_end() -> None:
    async with serving(echo) as at, connected(at.port) as client, connected(at.port) as fresh:
        whole = post(b"second")
        head, end, body = whole.partition(b"\r\n\r\n")
        client.send(head + end)
        await until(lambda: any(not each.between_requests for each in at.server._connections))
        closing = asyncio.create_task(at.server.close(10.0))
        assert await fresh.closed()
        client.send(body)
        status, headers, answer = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert b"second" in answer
        await closing


async def test_a_head_that_came_before_is_read_like_the_first_time_and_not_for_what_differs() -> None:
    seen: list[Request] = []

    async def remember(request: Request, responder: Responder) -> None:
        seen.append(request)
        await echo(request, responder)

    async with serving(remember) as at, connected(at.port) as one, connected(at.port) as other:
        for client in (one, other, one):
            client.send(post(b"same"))
            assert (await client.answer())[2] == b"POST /mcp/a? same"
        # More of them than are remembered, and one that is long.
        for number in range(300):
            client.send(POST.replace(b"/mcp/a", b"/%d" % number) % (1, b"x"))
            assert (await client.answer())[2] == b"POST /%d? x" % number
        client.send(post(b"same").replace(b"Host: x", b"Host: x\r\nX-Long: " + b"y" * 4000))
        assert (await client.answer())[0] == 200
    assert seen[0] == seen[1] == seen[2]
    assert [request.path for request in seen[3:-1]] == [f"/{number}" for number in range(300)]
    assert seen[-1].header(b"x-long") == b"y" * 4000


async def test_closing_lingers_for_the_next_request_of_each_connection_and_no_longer() -> None:
    async with serving(echo) as at, connected(at.port) as client:
        client.send(post(b"first"))
        assert "connection" not in (await client.answer())[1]
        closing = asyncio.create_task(at.server.close(10.0, linger=600.0))
        await until(lambda: at.server.closing)
        client.send(post(b"second"))
        status, headers, _body = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        await closing


async def test_a_connection_that_is_accepted_in_the_turn_of_the_close_is_answered() -> None:
    async with serving(echo) as at:
        loop = asyncio.get_running_loop()
        closing: list[asyncio.Task[None]] = []

        def close_now() -> None:
            work = at.server.close(10.0, linger=600.0)
            # Its first step in this very turn, which accepts before it looks at its timers.
            work.send(None)
            closing.append(loop.create_task(work))

        with socket.create_connection(("127.0.0.1", at.port)) as client:
            client.sendall(post(b"late"))
            client.setblocking(False)
            loop.call_later(0, close_now)
            async with asyncio.timeout(10.0):
                answer = await loop.sock_recv(client, 4096)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b"late")
        await closing[0]


async def test_a_server_whose_socket_was_closed_by_its_owner_closes_all_the_same() -> None:
    server, theirs = LoopbackServer(echo), bound()
    await server.listen([theirs])
    # A loop is asked to forget a socket before it is closed.
    asyncio.get_running_loop().remove_reader(theirs.fileno())
    theirs.close()
    await server.close(1.0, linger=1.0)


async def test_requests_that_were_sent_ahead_let_others_have_their_turn() -> None:
    order: list[str] = []

    async def note(request: Request, responder: Responder) -> None:
        # Nothing of it waits.
        order.append("request")
        asyncio.get_running_loop().call_soon(order.append, "turn")
        await echo(request, responder)

    async with serving(note) as at, connected(at.port) as client:
        client.send(post(b"x") * 20)
        for _ in range(20):
            assert (await client.answer())[0] == 200
    assert order == ["request", "turn"] * 20
