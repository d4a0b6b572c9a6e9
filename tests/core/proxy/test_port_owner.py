"""The proxy's port among real processes: who serves it, who stands by, and what becomes of those that connect."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from app.core import private_socket
from app.core.mcp.proxy.handover import Holder, Role, Unreachable, door_path, hand_out, visit
from app.core.mcp.proxy.listeners import NotLoopback, PortTaken, bind, check, close_all, number_of
from app.core.mcp.proxy.port import PATIENCE_SECONDS
from app.core.private_socket import open_door
from tests.until import until


@pytest.fixture
def number() -> int:
    """A port that is free now."""
    listeners = bind(0)
    found = number_of(listeners)
    close_all(listeners)
    return found


class Candidate:
    """One process of `_port_process.py`."""

    def __init__(self, folder: Path, role: str, number: int, patience: float, keep: float) -> None:
        arguments = [str(each) for each in (folder, role, number, patience, keep)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.core.proxy._port_process", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def until(self, state: str) -> dict[str, Any]:
        """Its next status with this state."""
        assert self.process.stdout is not None
        while line := await asyncio.to_thread(self.process.stdout.readline):
            said: dict[str, Any] = json.loads(line)
            if said["state"] == state:
                return said
        raise AssertionError(f"it ended before it was {state}")

    async def end(self, how: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{how}\n")
        self.process.stdin.close()
        assert await asyncio.to_thread(self.process.wait, 20) == 0

    def close(self) -> None:
        with suppress(OSError):
            self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


Start = Callable[..., Candidate]


@pytest.fixture
def start(tmp_path: Path, number: int) -> Iterator[Start]:
    started: list[Candidate] = []

    def start(role: str, patience: float = PATIENCE_SECONDS, keep: float = 1.0) -> Candidate:
        candidate = Candidate(tmp_path / "proxy", role, number, patience, keep)
        started.append(candidate)
        return candidate

    yield start
    for candidate in started:
        candidate.close()


async def ask(number: int, host: str = "127.0.0.1") -> tuple[int, str]:
    """One request over a connection of its own: status and body."""
    reader, writer = await asyncio.open_connection(host, number)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1]), (await reader.read()).decode()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def refused(number: int) -> None:
    """Ask until the connection is refused. Raises `ConnectionRefusedError`."""
    while True:
        with suppress(ConnectionResetError, asyncio.IncompleteReadError):
            assert (await ask(number))[0] == 503


class Load:
    """Clients that ask one after the other. A connection that is refused fails; one that broke in the middle of its
    request is counted apart."""

    def __init__(self, number: int, clients: int = 4) -> None:
        self.answers: list[tuple[int, str]] = []
        self.refused = 0
        self.broken = 0
        self._number = number
        self._clients = clients
        self._over = asyncio.Event()

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        await self.more(20)
        return self

    async def __aexit__(self, *_failure: object) -> None:
        self._over.set()
        await asyncio.gather(*self._tasks)

    async def more(self, count: int) -> None:
        """Wait for so many further answers."""
        wanted = len(self.answers) + count
        await until(lambda: len(self.answers) >= wanted, 20.0)

    async def _client(self) -> None:
        while not self._over.is_set():
            try:
                self.answers.append(await ask(self._number))
            except ConnectionRefusedError:
                self.refused += 1
            except (OSError, asyncio.IncompleteReadError):
                self.broken += 1


def test_a_port_that_another_program_has_is_refused_and_nothing_stays_open(number: int) -> None:
    with closing(socket.create_server(("127.0.0.1", number))), pytest.raises(PortTaken):
        bind(number)
    # Were the socket on the other address still open, this would be refused.
    close_all(bind(number))


def test_a_port_that_another_program_has_on_the_other_address_is_refused(number: int) -> None:
    with closing(socket.socket(socket.AF_INET6)) as other:
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind(("::1", number))
        other.listen()
        with pytest.raises(PortTaken):
            bind(number)


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_a_socket_that_other_machines_can_reach_is_refused_and_closed(address: str) -> None:
    exposed = socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    with pytest.raises(NotLoopback):
        check((exposed,))
    assert exposed.fileno() == -1


def test_a_socket_that_does_not_listen_is_refused() -> None:
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    with pytest.raises(NotLoopback):
        check((silent,))


def test_sockets_are_bound_to_both_addresses_of_this_machine_only() -> None:
    listeners = bind(0)
    try:
        assert [each.getsockname()[0] for each in listeners] == ["127.0.0.1", "::1"]
        assert not any(each.get_inheritable() for each in listeners)
    finally:
        close_all(listeners)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no short names for long paths")
def test_the_door_of_a_folder_with_a_long_path_is_in_that_folder_where_nobody_else_can_take_its_place(
    tmp_path: Path,
) -> None:
    folder = tmp_path / ("long" * 50)
    folder.mkdir(mode=0o700)
    path = door_path(folder)
    assert path == folder / "port.sock"
    listeners = bind(0)
    with closing(open_door(path)) as door:
        assert path.stat().st_mode & 0o777 == 0o600
        door.setblocking(True)

        def answer() -> None:
            with door.accept()[0] as visitor:
                hand_out(visitor, Holder(Role.HEADLESS, 7), listeners)

        thread = threading.Thread(target=answer)
        thread.start()
        connection, holder, received = visit(path)
        thread.join()
        connection.close()
        assert (holder.pid, number_of(received)) == (7, number_of(listeners))
    close_all((*listeners, *received))


def test_the_door_is_for_this_user_alone_also_where_it_cannot_be_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_socket, "HANDLES", tmp_path / "nothing")
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    path = door_path(folder)
    assert path != folder / "port.sock"
    for each in (path, door_path(tmp_path)) if len(str(tmp_path)) < 80 else (path,):
        with closing(open_door(each)):
            assert each.stat().st_mode & 0o777 == 0o600
            assert each.parent.stat().st_mode & 0o077 == 0
        each.unlink()


def test_sockets_of_another_users_process_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(open_door(tmp_path / "s")), monkeypatch.context() as other_user:
        other_user.setattr(os, "geteuid", lambda: 12345)
        with pytest.raises(Unreachable):
            visit(tmp_path / "s")


def test_sockets_are_not_handed_to_another_users_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listeners = bind(0)
    one, other = socket.socketpair()
    with one, other, monkeypatch.context() as another:
        another.setattr(os, "geteuid", lambda: 12345)
        assert not hand_out(one, Holder(Role.HEADLESS, 1), listeners)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(1)
    close_all(listeners)


def test_sockets_that_other_machines_can_reach_are_not_taken_from_a_process_of_the_user(tmp_path: Path) -> None:
    with closing(socket.create_server(("0.0.0.0", 0))) as exposed, closing(open_door(tmp_path / "s")) as door:
        door.setblocking(True)

        def answer() -> None:
            with door.accept()[0] as visitor:
                hand_out(visitor, Holder(Role.HEADLESS, 1), (exposed,))

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Unreachable, match="other machines"):
            visit(tmp_path / "s")
        thread.join()


def test_what_answers_nonsense_at_the_door_is_nobody(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    with closing(listening):
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        def answer() -> None:
            with listening.accept()[0] as visitor:
                visitor.send(b"nonsense\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(Unreachable):
            visit(tmp_path / "s")
        thread.join()


async def test_a_port_of_another_program_is_told_and_another_one_serves(start: Start, number: int) -> None:
    with closing(socket.create_server(("127.0.0.1", number))):
        owner = start("window")
        said = await owner.until("owned")
        assert said["taken"] == number != said["number"]
        assert (await ask(said["number"]))[0] == 200
        # The others are told the same.
        assert await start("headless").until("elsewhere") == said | {"state": "elsewhere"}


async def test_one_process_serves_and_the_others_hold_the_same_port(start: Start, number: int) -> None:
    owner = start("headless")
    assert (await owner.until("owned"))["number"] == number
    other = start("headless")
    assert await other.until("elsewhere") == {
        "state": "elsewhere", "number": number, "taken": 0, "owner": "headless", "trouble": "",
    }  # fmt: skip
    assert {body for _status, body in [await ask(number) for _ in range(5)]} == {str(owner.process.pid)}
    assert (await ask(number, "::1"))[1] == str(owner.process.pid)


async def test_no_connection_is_refused_when_the_owner_is_killed_under_load(start: Start, number: int) -> None:
    owner = start("headless")
    await owner.until("owned")
    others = [start("headless"), start("headless")]
    for other in others:
        await other.until("elsewhere")
    async with Load(number) as load:
        owner.process.send_signal(signal.SIGKILL)
        await load.more(40)
    assert load.refused == 0
    assert {body for _status, body in load.answers[-4:]} <= {str(other.process.pid) for other in others}
    # What the dead owner had accepted is lost with it; nothing else is.
    assert load.broken <= 4
    assert {status for status, _body in load.answers} == {200}


async def test_a_window_takes_the_port_over_and_gives_it_back(start: Start, number: int) -> None:
    headless = start("headless")
    await headless.until("owned")
    async with Load(number) as load:
        window = start("window")
        await window.until("owned")
        assert (await headless.until("elsewhere"))["owner"] == "window"
        await load.more(8)
        assert {body for _status, body in load.answers[-2:]} == {str(window.process.pid)}
        await window.end("stop")
        await headless.until("owned")
        await load.more(8)
    assert (load.refused, load.broken) == (0, 0)
    assert {status for status, _body in load.answers} == {200}


async def test_a_window_that_is_started_again_finds_those_that_waited(start: Start, number: int) -> None:
    first = start("window", keep=60.0)
    await first.until("owned")
    async with Load(number) as load:
        await first.end("stop")
        again = start("window")
        assert (await again.until("owned"))["number"] == number
        await load.more(8)
    assert (load.refused, load.broken) == (0, 0)
    assert {status for status, _body in load.answers} == {200}
    assert load.answers[-1][1] == str(again.process.pid)


async def test_those_that_waited_for_nobody_are_told_so(start: Start, number: int) -> None:
    window = start("window")
    await window.until("owned")
    await window.end("stop")
    status, body = await ask(number)
    assert status == 503
    assert "burrow proxy" in json.loads(body)["error"]
    # It ends within moments, and answers until then.
    with pytest.raises(ConnectionRefusedError):
        await refused(number)


async def test_those_that_connect_and_say_nothing_do_not_keep_the_port_from_the_next_owner(
    start: Start, number: int
) -> None:
    window = start("window")
    await window.until("owned")
    await window.end("stop")
    silent = [socket.create_connection(("127.0.0.1", number)) for _ in range(60)]
    try:
        status, _body = await ask(number)
        assert status == 503
        # Not one after the other, each for as long as it likes.
        async with asyncio.timeout(10.0):
            with suppress(OSError):
                while True:
                    for each in silent:
                        each.send(b"x")
                    await asyncio.sleep(0.05)
        assert (await start("window").until("owned"))["number"] == number
    finally:
        for each in silent:
            each.close()


async def test_a_process_that_leaves_for_good_keeps_nothing(start: Start, number: int) -> None:
    window = start("window")
    await window.until("owned")
    await window.end("leave")
    with pytest.raises(ConnectionRefusedError):
        await ask(number)


async def test_an_owner_that_was_killed_alone_is_followed_by_a_new_one(start: Start, number: int) -> None:
    first = start("headless")
    await first.until("owned")
    first.close()
    assert (await start("headless").until("owned"))["number"] == number


async def test_an_owner_whose_door_was_removed_is_found_again(start: Start, tmp_path: Path) -> None:
    first = start("headless")
    await first.until("owned")
    door = tmp_path / "proxy" / "port.sock"
    door.unlink()
    await until(door.exists, 20.0)
    await start("headless").until("elsewhere")


async def test_an_owner_that_hangs_is_told_and_followed_once_it_ends(start: Start) -> None:
    first = start("headless")
    await first.until("owned")
    first.process.send_signal(signal.SIGSTOP)
    second = start("headless", 0.2)
    assert "does not answer" in (await second.until("failed"))["trouble"]
    first.close()
    await second.until("owned")
