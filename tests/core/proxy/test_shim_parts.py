"""The shim's parts: events are read however they are cut, and one process is started however many shims need it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.core.mcp.event_stream import EventReader, EventTooLong, StreamEvent
from app.core.mcp.proxy.shim.messages import NoMessage, read_program_message, read_server_message, words_of
from app.core.mcp.proxy.shim.reach import PROXY_FOLDER, NoProxy, Reach
from tests.core.proxy._shim_rig import ScriptedProxy
from tests.until import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STREAM = (
    b"\xef\xbb\xbfid: 1\r\ndata: one\r\n\r\n"
    b": comment\ndata:two\ndata: lines\n\n"
    b"event: other\rdata\rid: a\0b\rretry: 250\r\r"
    b"id: 2\n\nretry: soon\ndata: \xc3\xa9\n\ndata: unfinished"
)
EVENTS = [
    StreamEvent(b"", b"one"),
    StreamEvent(b"", b"two\nlines"),
    StreamEvent(b"other", b""),
    StreamEvent(b"", b"\xc3\xa9"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_events_are_the_same_however_the_stream_is_cut(size: int) -> None:
    reader = EventReader()
    found = [event for at in range(0, len(STREAM), size) for event in reader.feed(STREAM[at : at + size])]
    assert found == EVENTS
    assert (reader.last_id, reader.retry) == (b"2", 0.25)
    again = reader.after_break()
    assert (again.last_id, again.retry) == (b"2", 0.25)
    assert again.feed(b"data: next\n\n") == [StreamEvent(b"", b"next")]


def test_a_line_end_in_two_pieces_is_one() -> None:
    reader = EventReader()
    assert reader.feed(b"data: a\r") == []
    assert reader.feed(b"\ndata: b\r\n\r") == [StreamEvent(b"", b"a\nb")]
    assert reader.feed(b"\n") == []
    assert reader.feed(b"data: c\n\n") == [StreamEvent(b"", b"c")]


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 600 + b"\n", b"x" * 600])
def test_an_event_that_is_too_long_ends_the_stream(piece: bytes) -> None:
    reader = EventReader(1000)
    reader.feed(piece)
    with pytest.raises(EventTooLong):
        reader.feed(piece)


def test_ids_are_told_apart_by_their_type() -> None:
    batch = b'[{"id": 1, "method": "a"}, {"id": "1", "method": "b"}, {"method": "c"}, {"id": 2, "result": 1}]'
    assert read_program_message(batch).ids == {"1": 1, '"1"': "1"}
    found = read_server_message(b'[{"id": "1", "result": {}},\r\n{"id": 7, "method": "ping"}]')
    assert found is not None
    assert (found.line, found.answers) == (b'[{"id": "1", "result": {}},  {"id": 7, "method": "ping"}]', {'"1"'})


@pytest.mark.parametrize("data", [b"", b"7", b"[]", b"[7]", b"\xff", b"{", b"null", b'{"a": Infinity}', b"[" * 99_999])
def test_what_is_no_message_of_a_server_is_none(data: bytes) -> None:
    assert read_server_message(data) is None
    with pytest.raises(NoMessage):
        read_program_message(data)


def test_words_of_a_refusal_are_one_line() -> None:
    assert words_of(b'{"error": "a\\nb"}') == "a b"
    assert words_of(b'{"error": {"message": "c"}}') == "c"
    assert words_of(b'{"error": {"message": 7}}') == '{"error": {"message": 7}}'
    assert words_of(b"<html>\n <p>no</p>" + b"x" * 5000).startswith("<html> <p>no</p>xxx")
    assert len(words_of(b"x" * 5000)) <= 300
    assert words_of(b"\xff") == "\ufffd"


OWNER = """
import asyncio, os, signal, sys, time
from pathlib import Path
with open(Path(sys.argv[1]) / "starts", "a") as starts:
    starts.write(f"{os.getpid()}\\n")
time.sleep(float(sys.argv[2]))
from tests.core.proxy._shim_rig import ScriptedProxy
async def main():
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with ScriptedProxy(Path(sys.argv[1])):
        await ended.wait()
asyncio.run(main())
"""
STARTER = """
import asyncio, sys
from pathlib import Path
from app.core.mcp.proxy.shim.reach import Reach
async def main():
    print(await Reach(Path(sys.argv[1]), tuple(sys.argv[2:])).port(), flush=True)
asyncio.run(main())
"""
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets and signals")


def owner_command(folder: Path, seconds: float = 0.0) -> tuple[str, ...]:
    """What starts a process that serves after this time."""
    return sys.executable, "-c", OWNER, str(folder), str(seconds)


def starts(folder: Path) -> list[int]:
    with suppress(FileNotFoundError):
        return [int(line) for line in (folder / "starts").read_text().splitlines()]
    return []


@asynccontextmanager
async def folder_of_processes(folder: Path) -> AsyncIterator[Path]:
    (folder / PROXY_FOLDER).mkdir()
    # It is started in the folder, and finds the tests all the same.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.getcwd()
    try:
        yield folder
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
        for pid in starts(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@POSIX
async def test_many_that_need_a_proxy_start_one(tmp_path: Path) -> None:
    async with folder_of_processes(tmp_path) as folder:
        several = [Reach(folder, owner_command(folder)) for _ in range(5)]
        ports = await asyncio.gather(*(each.port() for each in several for _ in range(3)))
        assert len(set(ports)) == 1
        [pid] = starts(folder)
        # No signal for this process or for its terminal reaches it.
        assert os.getsid(pid) == pid
        for each in several:
            await each.close()


@POSIX
async def test_one_that_is_killed_while_it_starts_a_proxy_does_not_have_it_started_twice(tmp_path: Path) -> None:
    async with folder_of_processes(tmp_path) as folder:
        command = [sys.executable, "-c", STARTER, str(folder), *owner_command(folder, 0.5)]
        starter = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
        await until(lambda: starts(folder), 20)
        starter.kill()
        await starter.wait()
        reach = Reach(folder, owner_command(folder))
        await reach.port()
        assert len(starts(folder)) == 1
        await reach.close()


@POSIX
async def test_a_port_that_is_kept_is_used_and_its_keeper_replaced(tmp_path: Path) -> None:
    async with folder_of_processes(tmp_path) as folder:
        former = ScriptedProxy(folder)
        await former.__aenter__()
        assert former.port is not None
        number = former.port.status.number
        await former.port.stop(drain=0.0, keep=True)
        former.port = None
        reach = Reach(folder, owner_command(folder))
        assert await reach.port() == number
        assert starts(folder) == []
        await until(lambda: starts(folder), 20)
        assert reach._replacing is not None
        await reach._replacing
        assert await reach.port() == number
        assert len(starts(folder)) == 1
        await reach.close()


@POSIX
async def test_a_port_is_looked_up_again_before_another_program_can_have_it_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with folder_of_processes(tmp_path) as folder:
        reach = Reach(folder, ("false",), start_seconds=2.0)
        async with ScriptedProxy(folder) as first:
            assert first.port is not None
            assert await reach.port() == first.port.status.number
        monkeypatch.setattr("app.core.mcp.proxy.shim.reach.VALID_SECONDS", 0.0)
        reach._valid_until = 0.0
        async with ScriptedProxy(folder) as second:
            assert second.port is not None
            assert await reach.port() == second.port.status.number
        with pytest.raises(NoProxy, match="burrow proxy"):
            await reach.port()
        await reach.close()


@pytest.mark.parametrize("command", [("/no/such/program",), ("false",), ("true",)])
async def test_a_proxy_that_does_not_start_is_told_in_words(tmp_path: Path, command: tuple[str, ...]) -> None:
    reach = Reach(tmp_path, command, start_seconds=20.0)
    with pytest.raises(NoProxy, match=r"cannot be started|burrow proxy"):
        await reach.port()
    assert await reach.known_port() is None
    await reach.close()


def test_starting_imports_nothing_heavy() -> None:
    program = """
import sys
import app.cli.shim
heavy = "httpx httpx2 aiohttp keyring mcp mcp_types pydantic uvicorn msgspec PySide6 cryptography anyio".split()
print(sorted({name.partition(".")[0] for name in sys.modules} & set(heavy)))
print([name for name in ("app.core.auth.credential", "app.core.auth.vault", "app.ui") if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout == "[]\n[]\n"
