"""Answers that are read while they come: healed before the first byte, bounded, and gone on with by the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.core import streams
from app.core.errors import NotFound, Offline, ProtocolTrouble, ServerTrouble, SignInNeeded, TimedOut
from app.core.fetcher import Fetcher, RequestRecord
from tests.core.conftest import Rig, signed_in
from tests.core.scripted import DEAD, Reply, Request
from tests.until import until

PATH = "/stream"
Body = Callable[[asyncio.StreamWriter], Awaitable[None]]


def events(*texts: str) -> Body:
    async def write(writer: asyncio.StreamWriter) -> None:
        for number, text in enumerate(texts, 1):
            writer.write(f"id: log-{number}\ndata: {text}\n\n".encode())
            await writer.drain()

    return write


async def for_ever(writer: asyncio.StreamWriter) -> None:
    writer.write(b"data: first\n\n")
    await writer.drain()
    await asyncio.Event().wait()


async def cut_off(writer: asyncio.StreamWriter) -> None:
    writer.write(b"data: first\n\ndata: sec")
    await writer.drain()
    writer.transport.abort()


@asynccontextmanager
async def streaming(folder: Path, body: Body) -> AsyncIterator[Rig]:
    """Somebody is signed in, and the server streams `body` to the live token."""
    async with signed_in(folder) as rig:

        def view(request: Request) -> Reply:
            return Reply(stream=body) if request.bearer == rig.issuer.access_token else DEAD

        rig.server.views[PATH] = view
        yield rig


async def read(fetcher: Fetcher, **options: object) -> list[str]:
    async with fetcher.stream(PATH, **options) as answer:  # type: ignore[arg-type]
        return [event.data async for event in answer.events()]


async def test_a_dead_token_is_refreshed_before_the_first_byte(tmp_path: Path) -> None:
    async with streaming(tmp_path, events("one", "two")) as rig:
        rig.issuer.kill()
        assert await read(rig.fetcher) == ["one", "two"]
        assert rig.issuer.accepted == 1


async def test_streams_at_once_heal_by_one_refresh(tmp_path: Path) -> None:
    async with streaming(tmp_path, events("one")) as rig:
        rig.issuer.kill()
        assert await asyncio.gather(*(read(rig.fetcher) for _ in range(8))) == [["one"]] * 8
        assert rig.issuer.accepted == 1


async def test_a_grant_that_is_over_is_told_before_anything_is_read(tmp_path: Path) -> None:
    async with streaming(tmp_path, events("one")) as rig:
        rig.issuer.kill()
        rig.issuer.revoked = True
        with pytest.raises(SignInNeeded):
            await read(rig.fetcher)


async def test_a_stream_takes_no_place_from_requests(tmp_path: Path) -> None:
    async with streaming(tmp_path, for_ever) as rig:
        rig.server.views["/small"] = rig.issuer.guard()
        fetcher = Fetcher(rig.transport, rig.credential, rig.host, in_flight=1)
        async with fetcher.stream(PATH) as first, fetcher.stream(PATH) as second:
            assert (await fetcher.get("/small")).status == 200
            assert (await anext(first.events())).data == "first"
            assert (await anext(second.events())).data == "first"


async def test_a_caller_goes_on_where_a_stream_ended(tmp_path: Path) -> None:
    async with streaming(tmp_path, events("one")) as rig:
        async with rig.fetcher.stream(PATH, params={"start": "latest"}) as answer:
            last = [event.id async for event in answer.events()][-1]
        await read(rig.fetcher, headers={"Last-Event-ID": last})
        first, second = (request for request in rig.server.seen if request.path == PATH)
        assert first.query == {"start": ["latest"]}
        assert second.headers["last-event-id"] == "log-1"


async def test_a_stream_that_breaks_gives_what_came_and_says_so(tmp_path: Path) -> None:
    async with streaming(tmp_path, cut_off) as rig:
        rig.server.views[PATH] = Reply(stream=cut_off, headers={"Content-Length": "1000"})
        async with rig.fetcher.stream(PATH) as answer:
            events_of_it = answer.events()
            assert (await anext(events_of_it)).data == "first"
            with pytest.raises(ServerTrouble) as raised:
                await anext(events_of_it)
        assert raised.value.retryable


async def test_a_stream_that_says_nothing_is_left(tmp_path: Path) -> None:
    async with streaming(tmp_path, for_ever) as rig:
        with pytest.raises(TimedOut):
            await read(rig.fetcher, silence=0.2)


async def test_leaving_a_stream_closes_its_connection(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def until_gone(writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b": well\n\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        except OSError:
            gone.set()
            raise

    async with streaming(tmp_path, until_gone) as rig:
        async with rig.fetcher.stream(PATH) as answer:
            await anext(answer.chunks())
        await asyncio.wait_for(gone.wait(), 5)


async def test_an_event_without_end_is_not_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "EVENT_LIMIT", 64 * 1024)

    async def flood(writer: asyncio.StreamWriter) -> None:
        writer.write(b"data: ")
        while True:
            writer.write(b"x" * 8192)
            await writer.drain()

    async with streaming(tmp_path, flood) as rig:
        with pytest.raises(ProtocolTrouble, match="an event of more than") as raised:
            await read(rig.fetcher)
        assert raised.value.facts.code == "too-large"


async def test_many_events_may_be_longer_together_than_one_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "EVENT_LIMIT", 64 * 1024)
    async with streaming(tmp_path, events(*["x" * 8192] * 40)) as rig:
        assert len(await read(rig.fetcher)) == 40


async def test_an_answer_that_is_no_stream_is_named(tmp_path: Path) -> None:
    async with streaming(tmp_path, events()) as rig:
        rig.server.views[PATH] = Reply(200, {"detail": "no stream"})
        with pytest.raises(ProtocolTrouble, match="answered with application/json instead of a stream"):
            await read(rig.fetcher)


@pytest.mark.parametrize(
    ("reply", "kind"), [(Reply(404, {"code": "not_found"}), NotFound), (Reply(500), ServerTrouble)]
)
async def test_a_refusal_is_the_error_that_it_is_for_any_request(
    reply: Reply, kind: type[Exception], tmp_path: Path
) -> None:
    async with streaming(tmp_path, events()) as rig:
        rig.server.views[PATH] = reply
        with pytest.raises(kind):
            await read(rig.fetcher)


async def test_a_server_that_is_not_there_is_offline(tmp_path: Path) -> None:
    async with streaming(tmp_path, events()) as rig:
        await rig.server.go_away()
        with pytest.raises(Offline):
            await read(rig.fetcher)
        await rig.server.come_back()


async def test_a_stream_is_recorded_when_it_is_over_with_what_it_brought(tmp_path: Path) -> None:
    async with streaming(tmp_path, events("one", "two")) as rig:
        records: list[RequestRecord] = []
        rig.fetcher.finished.subscribe(records.append)
        async with rig.fetcher.stream(PATH) as answer:
            assert not records
            assert [event.data async for event in answer.events()] == ["one", "two"]
        await until(lambda: records)
        assert [(one.path, one.status, one.size > 20, one.error) for one in records] == [(PATH, 200, True, None)]
