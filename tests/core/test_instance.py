"""One process is first on a data folder; every other one hands over to it, however the first lives and ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from app.core.instance import doors, entry, request
from app.core.instance.doors import connect, listen
from app.core.instance.entry import NotAnswering, enter
from app.core.instance.listener import InstanceListener
from app.core.instance.lock import NAME, FirstProcess, InstanceLock, holder
from app.core.instance.request import StartRequest

LINK = "burrow://task/7"
ROOT = Path.cwd()


class Start:
    """A process that starts on the folder."""

    def __init__(self, folder: Path, *arguments: str, under: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            [*under, sys.executable, "-m", "tests.core._instance_process", str(folder), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self) -> list[Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return list(json.loads(line)) if line else []

    def ask(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


Starts = Callable[..., Start]


@pytest.fixture
def starts(tmp_path: Path) -> Iterator[Starts]:
    begun: list[Start] = []

    def start(*arguments: str, under: Sequence[str] = ()) -> Start:
        begun.append(Start(tmp_path, *arguments, under=under))
        return begun[-1]

    yield start
    for each in begun:
        each.kill()


@pytest.mark.parametrize("family", [(), ("--tcp",)])
def test_a_further_start_hands_over_and_ends(starts: Starts, family: tuple[str, ...]) -> None:
    first = starts(*family)
    assert first.line() == ["first"]
    second = starts(LINK, *family)
    assert second.line() == ["handed over"]
    what, taken = first.line()
    assert (what, taken["link"]) == ("taken", LINK)
    assert second.process.wait(5) == 0


def test_of_many_that_start_at_once_one_is_first_and_gets_all_the_others(starts: Starts) -> None:
    begun = {f"burrow://task/{number}": starts(f"burrow://task/{number}") for number in range(6)}
    said = {link: each.line() for link, each in begun.items()}
    (first,) = [link for link, line in said.items() if line == ["first"]]
    assert all(line == ["handed over"] for link, line in said.items() if link != first)
    assert {begun[first].line()[1]["link"] for _ in range(5)} == set(begun) - {first}


def test_after_a_kill_the_next_start_is_first_at_once(starts: Starts) -> None:
    first = starts()
    assert first.line() == ["first"]
    first.kill()
    began = monotonic()
    assert starts().line() == ["first"]
    assert monotonic() - began < 1.5


def test_a_window_that_hangs_is_named_and_does_not_act_on_what_was_given_up(
    starts: Starts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = starts()
    assert first.line() == ["first"]
    os.kill(first.pid, signal.SIGSTOP)
    monkeypatch.setattr(entry, "ANSWER_SECONDS", 0.3)
    began = monotonic()
    with pytest.raises(NotAnswering) as silent:
        enter(tmp_path, StartRequest(link=LINK))
    assert silent.value.pid == first.pid
    assert 0.3 <= monotonic() - began < 1.5
    os.kill(first.pid, signal.SIGCONT)
    assert starts("burrow://task/8").line() == ["handed over"]
    # The first that it says is of the start that it answered.
    assert first.line()[1]["link"] == "burrow://task/8"


def test_a_window_that_is_still_being_started_has_more_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = InstanceLock(tmp_path)
    monkeypatch.setattr(entry, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(entry, "START_SECONDS", 0.3)
    began = monotonic()
    with pytest.raises(NotAnswering) as silent:
        enter(tmp_path, StartRequest())
    assert monotonic() - began >= 0.3
    assert silent.value.pid == os.getpid()
    lock.release()


def test_who_starts_while_the_window_ends_is_the_next_first(
    starts: Starts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = starts()
    assert first.line() == ["first"]
    first.ask("end")
    assert first.line() == ["done"]
    second = starts(LINK)
    with monkeypatch.context() as short:
        short.setattr(entry, "ANSWER_SECONDS", 0.3)
        short.setattr(entry, "START_SECONDS", 0.3)
        short.setattr(entry, "END_SECONDS", 0.3)
        with pytest.raises(NotAnswering):
            enter(tmp_path, StartRequest(link=LINK))
    first.ask("close")
    assert second.line() == ["first"]
    # Nothing of the others was taken by the one that ended.
    assert first.line() == ["closed"]


def test_nothing_is_left_but_the_lock(starts: Starts, tmp_path: Path) -> None:
    first = starts()
    assert first.line() == ["first"]
    assert starts().line() == ["handed over"]
    assert first.line()[0] == "taken"
    assert (tmp_path / doors.SOCKET).stat().st_mode & 0o777 == 0o600
    first.ask("close")
    assert first.line() == ["closed"]
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_on_a_full_disk_one_is_first_all_the_same(starts: Starts, tmp_path: Path) -> None:
    first = starts(under=("prlimit", "--fsize=0"))
    assert first.line() == ["first"]
    assert (tmp_path / NAME).read_bytes() == b""
    assert starts(LINK).line() == ["handed over"]
    assert first.line()[1]["link"] == LINK


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_process_of_another_user_is_hung_up_on(starts: Starts, tmp_path: Path) -> None:
    first = starts()
    assert first.line() == ["first"]
    door = tmp_path / doors.SOCKET
    # As on a file system that has no modes.
    door.chmod(0o666)
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.settimeout(3)
        os.seteuid(65534)
        try:
            with door_of(tmp_path) as name:
                visitor.connect(name)
        finally:
            os.seteuid(0)
        assert visitor.recv(1) == b""
    assert starts(LINK).line() == ["handed over"]
    assert first.line()[1]["link"] == LINK


@contextmanager
def door_of(folder: Path) -> Iterator[str]:
    """The name of the door for who cannot enter the folders above it."""
    os.seteuid(0)
    handle = os.open(folder, os.O_RDONLY)
    folder.chmod(0o777)
    os.fchdir(handle)
    os.seteuid(65534)
    try:
        yield doors.SOCKET
    finally:
        os.seteuid(0)
        os.close(handle)
        os.chdir(ROOT)


def test_a_window_of_another_version_is_said_to_be_one(starts: Starts, tmp_path: Path) -> None:
    first = starts()
    assert first.line() == ["first"]
    with pytest.MonkeyPatch.context() as later:
        later.setattr(request, "VERSION", 2)
        with pytest.raises(NotAnswering) as other:
            enter(tmp_path, StartRequest())
    assert other.value.other_version
    assert other.value.pid == first.pid


class Listening:
    """The window's side, in this process."""

    def __init__(self, folder: Path) -> None:
        self.taken: list[StartRequest] = []
        self.folder = folder

    async def __aenter__(self) -> Listening:
        self._listener = InstanceListener(
            self.folder, InstanceLock(self.folder), self.taken.append, ending=lambda: False
        )
        await self._listener.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.close()


async def said_to(folder: Path, *lines: bytes) -> bytes:
    """What the window answers to who says these lines, one after each answer. Empty: it hung up."""

    def talk() -> bytes:
        door = connect(folder, 5.0)
        with door.socket as connection:
            answer = b""
            for line in lines:
                try:
                    connection.sendall(line)
                    answer = connection.recv(4096)
                except ConnectionError:
                    return b""
            return answer

    return await asyncio.to_thread(talk)


NONCE = b"0" * 32 + b"\n"


@pytest.mark.parametrize(
    "line",
    [
        b"{}\n",
        b"[]\n",
        b"null\n",
        b'{"host":"us"}\n',
        request.encode_request(StartRequest(), "").replace(b'"hidden":false', b'"hidden":0'),
        request.encode_request(StartRequest(), "").replace(b'"host":""', b'"host":null'),
        request.encode_request(StartRequest(), "").replace(b'"host":""', b'"host":"","host":"us"'),
        request.encode_request(StartRequest(), "").replace(b'"proof":""', b'"proof":"","run":true'),
        request.encode_request(StartRequest(activation_token="a b"), ""),
        request.encode_request(StartRequest(startup_id="a\n"), ""),
        request.encode_request(StartRequest(link="x" * (request.LONGEST_TEXT + 1)), ""),
        "“\n".encode(),
        b"[" * 100_000 + b"\n",
        b"x" * (request.LONGEST_LINE + 10),
    ],
    ids=range(14),
)
async def test_what_burrow_does_not_send_is_not_taken(tmp_path: Path, line: bytes) -> None:
    async with Listening(tmp_path) as window:
        assert await said_to(tmp_path, NONCE, line) == b""
        assert await asyncio.to_thread(enter, tmp_path, StartRequest(link=LINK)) is None
        assert [each.link for each in window.taken] == [LINK]


async def test_a_longest_link_of_any_characters_arrives(tmp_path: Path) -> None:
    link = "burrow://new?text=" + "\U0001f40d\udcff" * 4000
    async with Listening(tmp_path) as window:
        asked = StartRequest("eu", "tasks", link, True, "/home/ada", "token", "start_TIME1")
        assert await asyncio.to_thread(enter, tmp_path, asked) is None
        assert window.taken == [asked]


async def test_visitors_that_say_nothing_keep_nobody_out_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.core.instance import listener

    monkeypatch.setattr(listener, "VISIT_SECONDS", 0.2)
    async with Listening(tmp_path) as window:
        idle = [connect(tmp_path, 5.0) for _ in range(listener.MOST_VISITORS + 2)]
        assert await asyncio.to_thread(enter, tmp_path, StartRequest(link=LINK)) is None
        assert len(window.taken) == 1
        for each in idle:
            each.socket.close()


async def test_another_user_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Listening(tmp_path) as window:
        monkeypatch.setattr(doors, "is_this_user", lambda _peer: False)
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.connect(str(tmp_path / doors.SOCKET))
            visitor.settimeout(3)
            assert await asyncio.to_thread(visitor.recv, 1) == b""
        assert window.taken == []


async def test_a_door_of_another_user_is_not_talked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Listening(tmp_path) as window:
        monkeypatch.setattr(doors, "is_this_user", lambda _peer: False)
        monkeypatch.setattr(entry, "ANSWER_SECONDS", 0.1)
        monkeypatch.setattr(entry, "START_SECONDS", 0.0)
        with pytest.raises(NotAnswering):
            await asyncio.to_thread(enter, tmp_path, StartRequest())
        assert window.taken == []


async def test_on_a_port_only_who_knows_the_secret_is_heard_and_told_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "HAS_UNIX_SOCKETS", False)
    async with Listening(tmp_path) as window:
        file = tmp_path / doors.PORT_FILE
        assert file.stat().st_mode & 0o777 == 0o600
        line = request.encode_request(StartRequest(link=LINK), "0" * 64)
        assert await said_to(tmp_path, NONCE, line) == b""
        record = json.loads(file.read_text())
        file.write_text(json.dumps({**record, "secret": "another"}))
        monkeypatch.setattr(entry, "ANSWER_SECONDS", 0.1)
        monkeypatch.setattr(entry, "START_SECONDS", 0.0)
        with pytest.raises(NotAnswering):
            await asyncio.to_thread(enter, tmp_path, StartRequest())
        assert window.taken == []


def test_a_folder_without_sockets_has_a_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_sockets(_path: Path) -> socket.socket:
        raise PermissionError("no sockets on this file system")

    monkeypatch.setattr(doors, "open_door", no_sockets)
    door = listen(tmp_path)
    try:
        connect(tmp_path, 1.0).socket.close()
    finally:
        door.close()
    assert list(tmp_path.iterdir()) == []


def test_a_path_too_long_for_a_socket_is_no_trouble(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    first = Start(folder)
    try:
        assert first.line() == ["first"]
        second = Start(folder, LINK)
        assert second.line() == ["handed over"]
        second.kill()
        assert first.line()[1]["link"] == LINK
    finally:
        first.kill()


@pytest.mark.parametrize("record", [b"", b"x y\n", b"1\n", b"\xff \xff\n", b"9" * 5000])
def test_a_lock_file_that_says_nothing_is_no_trouble(tmp_path: Path, record: bytes) -> None:
    (tmp_path / NAME).write_bytes(record)
    assert holder(tmp_path) == FirstProcess()
    lock = InstanceLock(tmp_path)
    assert holder(tmp_path).pid == os.getpid()
    lock.release()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        enter(tmp_path / "file", StartRequest())


def test_tokens_are_what_desktops_make() -> None:
    assert request.token_of("gnome-shell/Files/123-0-host_TIME456") == "gnome-shell/Files/123-0-host_TIME456"
    for strange in (None, "a b", "a\n", "é", "x" * (request.LONGEST_TOKEN + 1)):
        assert request.token_of(strange) == ""
    both = StartRequest(activation_token="w", startup_id="x")
    assert (both.token("wayland-egl"), both.token("xcb")) == ("w", "x")
