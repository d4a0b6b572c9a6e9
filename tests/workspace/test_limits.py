"""What a client may cost the workspace: time for a request that trickles in, and lines in its log."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import RunningWorkspace
from tests.workspace.lab import Lab

Start = Callable[..., RunningWorkspace]
SECONDS = 10.0


@pytest.fixture
def impatient(start_workspace: Start) -> RunningWorkspace:
    """A workspace that waits half a second for a header, and for a body."""
    return start_workspace("--header-seconds", "0.5", "--body-seconds", "0.5")


def connected(workspace: RunningWorkspace) -> socket.socket:
    place = urlsplit(workspace.url)
    return socket.create_connection((place.hostname or "", place.port or 0), SECONDS)


def head(workspace: RunningWorkspace, more: str = "", method: str = "GET") -> bytes:
    return f"{method} /_workspace HTTP/1.1\r\nHost: {urlsplit(workspace.url).netloc}\r\n{more}\r\n".encode()


def answer(client: socket.socket) -> bytes:
    """Everything until the server closes the connection."""
    received = b""
    while chunk := client.recv(65536):
        received += chunk
    return received


def is_answered(client: socket.socket) -> None:
    """Take one whole answer off the connection, which stays open."""
    received = b""
    while not received.endswith(b"}"):
        received += client.recv(65536)
    assert received.startswith(b"HTTP/1.1 200 ")


def trickle(client: socket.socket, data: bytes) -> None:
    """Send a byte at a time until the other side has enough of it."""
    client.settimeout(0.05)
    for byte in data:
        try:
            client.sendall(bytes([byte]))
            if client.recv(1, socket.MSG_PEEK):
                break
        except TimeoutError:
            continue
        except OSError:
            break
        else:
            break
    client.settimeout(SECONDS)


def test_a_connection_that_sends_nothing_is_closed(impatient: RunningWorkspace) -> None:
    with connected(impatient) as client:
        began = time.monotonic()
        assert answer(client).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < SECONDS / 2


def test_a_header_that_trickles_in_is_refused_in_its_total_time(impatient: RunningWorkspace) -> None:
    with connected(impatient) as client:
        began = time.monotonic()
        trickle(client, head(impatient, f"X-Long: {'a' * 500}\r\n"))
        assert answer(client).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < SECONDS / 2


def test_a_second_header_on_a_connection_is_refused_in_its_total_time_too(impatient: RunningWorkspace) -> None:
    with connected(impatient) as client:
        client.sendall(head(impatient))
        is_answered(client)
        trickle(client, head(impatient, f"X-Long: {'a' * 500}\r\n"))
        assert answer(client).startswith(b"HTTP/1.1 408 ")


def test_a_connection_may_rest_between_two_requests(impatient: RunningWorkspace) -> None:
    with connected(impatient) as client:
        for _ in range(2):
            client.sendall(head(impatient))
            is_answered(client)
            client.settimeout(1.0)
            with pytest.raises(TimeoutError):
                client.recv(1)
            client.settimeout(SECONDS)


def test_a_body_that_trickles_in_is_refused_in_its_total_time(impatient: RunningWorkspace) -> None:
    request = head(impatient, "Content-Type: application/json\r\nContent-Length: 500\r\n", "POST")
    with connected(impatient) as client:
        began = time.monotonic()
        client.sendall(request.replace(b"/_workspace", b"/oauth/register/"))
        trickle(client, b"a" * 400)
        assert answer(client).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < SECONDS / 2


def test_an_answer_may_take_longer_than_its_request(impatient: RunningWorkspace) -> None:
    with Lab(impatient) as lab:
        lab.switch("path", path="/_workspace", delay=1.5)
        assert httpx.get(f"{impatient.url}/_workspace", timeout=SECONDS).status_code == 200


@pytest.fixture
def log(tmp_path: Path) -> Iterator[IO[bytes]]:
    """The log file of a workspace in `tmp_path`, as the window opens it."""
    with open(tmp_path / "workspace.log", "wb") as file:
        yield file


def test_clients_that_go_away_leave_no_traceback(tmp_path: Path, log: IO[bytes]) -> None:
    whole = [sys.executable, "-m", "app", "workspace", "--watch-stdin", "--data", str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log, "text": True}
    with subprocess.Popen(whole, **pipes) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        workspace = RunningWorkspace(ready["url"], ready, process, tmp_path)
        with Lab(workspace) as lab:
            header = lab.sign_in().header["Authorization"]
            for path, method in (
                ("/oauth/register/", "POST"),
                ("/oauth/token/", "POST"),
                ("/api/projects/1/tasks/", "POST"),
                ("/mcp", "POST"),
                ("/mcp", "GET"),
                ("/_tickets", "POST"),
            ):
                more = f"Authorization: {header}\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
                length = "Content-Length: 500\r\n" if method == "POST" else ""
                with connected(workspace) as client:
                    client.sendall(head(workspace, more + length, method).replace(b"/_workspace", path.encode()))
                    client.sendall(b'{"half":')
                assert httpx.get(f"{workspace.url}/_workspace").status_code == 200
        process.communicate("")
        assert process.returncode == 0
    text = (tmp_path / "workspace.log").read_text()
    assert "Traceback" not in text, text


# Writes lines until the log had to be shortened several times.
LOGGING = """
import logging, os, sys
from pathlib import Path
from app.workspace.runtime import log
handler = log.BoundedLog(Path(sys.argv[1]), 10_000)
logging.basicConfig(handlers=[handler], format="%(message)s")
largest = 0
for number in range(2000):
    logging.warning("line %d %s", number, "x" * 50)
    largest = max(largest, os.fstat(2).st_size)
print(largest)
"""


def logged(path: Path, file: IO[bytes]) -> int:
    outcome = subprocess.run(
        [sys.executable, "-c", LOGGING, str(path)], stdout=subprocess.PIPE, stderr=file, text=True, check=True
    )
    return int(outcome.stdout)


def test_the_log_is_bounded_and_has_the_newest_lines(tmp_path: Path, log: IO[bytes]) -> None:
    assert logged(tmp_path / "workspace.log", log) < 11_000
    content = (tmp_path / "workspace.log").read_bytes()
    assert b"\0" not in content
    numbers = [int(line.split()[1]) for line in content.decode().splitlines()]
    assert numbers == list(range(numbers[0], 2000))
    assert len(numbers) > 50


def test_a_file_of_the_users_own_is_never_shortened(tmp_path: Path, log: IO[bytes]) -> None:
    with open(tmp_path / "own.log", "wb") as own:
        assert logged(tmp_path / "workspace.log", own) > 100_000
    assert (tmp_path / "own.log").read_text().startswith("line 0 ")


def test_a_log_that_nobody_reads_or_that_is_full_costs_its_lines_only(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        logged(tmp_path / "workspace.log", full)
