"""The listener for the redirect (RFC 8252 section 7.3): who is served, what the browser shows, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from app.core.auth.oauth import callback
from app.core.auth.oauth.callback import SIGNED_IN, AuthorizationResponse, CallbackServer
from app.core.auth.oauth.sign_in import BrowserSignIn
from app.core.errors import BurrowError, Rejected, ServerTrouble
from app.core.redaction import HIDDEN_SECRETS, REDACTED, hide, redact_text
from tests.core.scripted import Reply
from tests.faults.authority import AUTHORIZE, TOKEN, browser_client

STATE = "the-state-of-this-sign-in"
SLOW = 256


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[CallbackServer, str]]:
    """A listener, and the address of its honest redirect."""
    server = CallbackServer("/callback/x", lambda response: response.state == STATE)
    address = await server.open()
    try:
        yield server, f"{address}?code=abc&state={STATE}"
    finally:
        server.close()


async def answered(server: CallbackServer) -> AuthorizationResponse:
    """Wait for the redirect and show that it led to a sign-in."""
    response = await server.wait()
    await server.answer(SIGNED_IN)
    return response


async def closed(writers: Iterable[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def get(address: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=20) as browser:
        return await browser.get(address, headers=headers)


async def test_an_honest_redirect_is_served_beside_256_slow_ones() -> None:
    async with listening() as (server, address):
        port = urlsplit(address).port
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(SLOW)]
        for _, writer in opened:
            writer.write(b"GET /callback/x?code=")
        waiting = asyncio.create_task(answered(server))
        assert "You are signed in" in (await get(address)).text
        assert (await waiting).code == "abc"
        await closed(writer for _, writer in opened)


async def test_of_too_many_connections_without_a_request_the_oldest_are_closed() -> None:
    async with listening() as (server, address):
        port = urlsplit(address).port
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(callback.MOST_UNREAD + 1)]
        oldest, _ = opened[0]
        assert await asyncio.wait_for(oldest.read(), 5) == b""
        assert len(server._unread) <= callback.MOST_UNREAD
        await closed(writer for _, writer in opened)


async def test_a_connection_that_sends_no_request_is_closed_after_the_request_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callback, "REQUEST_SECONDS", 0.1)
    async with listening() as (_, address):
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(address).port)
        writer.write(b"GET /callback/x")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        await closed([writer])


async def test_the_cookies_of_other_programs_fit_into_128_kib_of_header() -> None:
    async with listening() as (server, address):
        waiting = asyncio.create_task(answered(server))
        page = await get(address, Cookie="c" * (128 * 1024 - 512))
        assert page.status_code == 200
        await waiting


@pytest.mark.parametrize("size", [200 * 1024, 2 * 1024 * 1024])
async def test_a_larger_header_is_answered_with_431_and_the_listener_goes_on(size: int) -> None:
    async with listening() as (server, address):
        refused = await get(address, Cookie="c" * size)
        assert refused.status_code == 431
        waiting = asyncio.create_task(answered(server))
        assert (await get(address)).status_code == 200
        await waiting


async def test_an_address_that_is_given_by_hand_passes_the_same_checks() -> None:
    async with listening() as (server, address):
        for wrong in (
            "",
            "abc",
            "http://[::1",
            address.replace("127.0.0.1", "127.0.0.2"),
            address.replace("http:", "https:"),
            address.replace("/callback/x", "/callback/y"),
            address.replace(STATE, "forged"),
            f"{address}&state={STATE}",
        ):
            assert not server.take(wrong)
        assert server.take(f"  {address}\n")
        assert (await server.wait()).code == "abc"
        assert not server.take(address)


async def test_forged_redirects_do_not_push_real_secrets_out_of_what_is_redacted() -> None:
    secret = "a-secret-without-any-known-shape"
    hide(secret)
    async with listening() as (server, address):
        for number in range(HIDDEN_SECRETS + 1):
            forged = address.replace(STATE, f"forged-state-{number}").replace("abc", f"forged-code-{number}")
            assert (await get(forged)).status_code == 400
        assert redact_text(secret) == REDACTED
        waiting = asyncio.create_task(answered(server))
        await get(address.replace("abc", "a-code-without-a-shape"))
        await waiting
        assert redact_text("a-code-without-a-shape") == REDACTED


async def begun(sign_in: BrowserSignIn) -> str:
    """Where the consent page sends the browser."""
    async with httpx.AsyncClient() as browser:
        return str((await browser.get(sign_in.url)).headers["location"])


@pytest.mark.parametrize(
    ("answer", "error"), [(Reply(400, {"error": "invalid_grant"}), Rejected), (Reply(503, "no"), ServerTrouble)]
)
async def test_the_page_says_signed_in_only_after_the_exchange(
    tmp_path: Path, answer: Reply, error: type[BurrowError]
) -> None:
    async with browser_client(tmp_path) as (rig, _):
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        redirect = await begun(sign_in)
        asked, go_on = asyncio.Event(), asyncio.Event()
        exchange = rig.server.views[TOKEN]

        async def token(request: object) -> Reply:
            asked.set()
            await go_on.wait()
            return answer

        rig.server.views[TOKEN] = token
        finishing = asyncio.create_task(sign_in.finish())
        page = asyncio.create_task(get(redirect))
        await asyncio.wait_for(asked.wait(), 5)
        assert not page.done()
        go_on.set()
        with pytest.raises(error):
            await finishing
        assert "You are not signed in" in (await page).text
        rig.server.views[TOKEN] = exchange
        again = await rig.credential.begin_sign_in(open_browser=False)
        finishing = asyncio.create_task(again.finish())
        assert "You are signed in" in (await get(await begun(again))).text
        await finishing


async def test_a_forged_code_never_shows_that_somebody_signed_in(tmp_path: Path) -> None:
    async with browser_client(tmp_path) as (rig, _):
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        query = parse_qs(urlsplit(sign_in.url).query)
        finishing = asyncio.create_task(sign_in.finish())
        rig.server.views[TOKEN] = Reply(400, {"error": "invalid_grant"})
        page = await get(f"{query['redirect_uri'][0]}?code=forged&state={query['state'][0]}&iss={rig.server.origin}")
        assert "You are signed in" not in page.text
        with pytest.raises(Rejected):
            await finishing


async def test_a_browser_that_asks_twice_sees_the_same_outcome(tmp_path: Path) -> None:
    async with browser_client(tmp_path) as (rig, authority):
        sign_in = await rig.credential.begin_sign_in(open_browser=False)
        redirect = await begun(sign_in)
        pages = [asyncio.create_task(get(redirect)) for _ in range(2)]
        await sign_in.finish()
        assert ["You are signed in" in (await page).text for page in pages] == [True, True]
        assert len(authority.posts(TOKEN)) == 1
        assert len(authority.posts(AUTHORIZE)) == 1
