"""`burrow connect stdio` as a process: it leaves no secret anywhere, and ends at once however it is ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.core.mcp.proxy.clients import ProxyClients
from app.core.mcp.proxy.keys import hash_of
from app.core.mcp.proxy.service import ENABLED_SETTING
from app.core.storage import Storage
from tests._command import SECONDS
from tests.core.proxy._shim_machine import shim
from tests.core.proxy._shim_rig import ScriptedProxy, call, reply, result, serve_session
from tests.until import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and /proc of POSIX")


@asynccontextmanager
async def clients_of(folder: Path) -> AsyncIterator[ProxyClients]:
    storage = Storage.open(folder)
    clients = ProxyClients(storage.proxy_clients)
    await clients.start()
    yield clients
    await clients.close()
    await storage.close()


async def keys(folder: Path) -> set[str]:
    storage = Storage.open(folder)
    found = await storage.proxy_clients.all()
    await storage.close()
    return set(found.keys)


def all_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@POSIX
async def test_its_key_is_in_no_file_argument_or_environment_and_gone_at_its_end(tmp_path: Path) -> None:
    async with clients_of(tmp_path) as clients:
        _, given = await clients.create("Desktop", servers=["own:1"])
        async with ScriptedProxy(tmp_path) as proxy, shim(tmp_path, "desktop") as running:
            assert (await running.ask(call(1)))["id"] == 1
            assert "initialize" not in proxy.methods()
            [(request, _)] = proxy.requests
            key = (request.header(b"authorization") or b"").decode().removeprefix("Bearer ")
            assert key != given
            assert await keys(tmp_path) == {hash_of(given), hash_of(key)}
            found = await clients.find_client(key)
            assert found is not None
            assert found.name == "Desktop"
            place = Path(f"/proc/{running.process.pid}")
            shown = [(place / name).read_bytes() for name in ("cmdline", "environ")]
            assert not any(key[3:].encode() in each for each in (*shown, all_of(tmp_path)))
            assert running.process.stdin is not None
            running.process.stdin.close()
            code, rest, words = await running.ended()
            assert (code, rest, words) == (0, b"", "")
        assert await keys(tmp_path) == {hash_of(given)}


@POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_ends_it_at_once_and_its_session_with_it(tmp_path: Path, number: signal.Signals) -> None:
    forever = asyncio.Event()

    async def answer(request: Any, responder: Any, message: Any) -> None:
        if message and message.get("method") == "tools/call":
            started.set()
            await forever.wait()
        await serve_session(request, responder, message)

    started = asyncio.Event()
    async with clients_of(tmp_path) as clients:
        await clients.create("Desktop", servers=["own:1"])
        async with ScriptedProxy(tmp_path, answer) as proxy, shim(tmp_path, "desktop") as running:
            await running.ask(call(1, "initialize"))
            running.send(call(2))
            await started.wait()
            running.process.send_signal(number)
            code, rest, _ = await running.ended()
            assert (code, rest) == (128 + number, b"")
            assert proxy.methods()[-1] == "DELETE"
            [(deleted, _)] = [each for each in proxy.requests if each[0].method == "DELETE"]
            assert deleted.header(b"mcp-session-id") == b"session-1"
        assert len(await keys(tmp_path)) == 1


@POSIX
async def test_the_key_of_a_killed_one_goes_with_the_next_start(tmp_path: Path) -> None:
    async with clients_of(tmp_path) as clients:
        await clients.create("Desktop")
        async with ScriptedProxy(tmp_path):
            async with shim(tmp_path, "desktop", "--server", "own:1") as killed:
                await killed.ask(call(1))
                killed.process.kill()
            assert len(await keys(tmp_path)) == 2
            async with shim(tmp_path, "desktop", "--server", "own:2") as running:
                await running.ask(call(1))
                assert len(await keys(tmp_path)) == 2
        # That of the second, which is killed here too.
        assert len(os.listdir(tmp_path / "locks")) == 1


async def test_a_program_whose_client_is_revoked_is_refused_in_words(tmp_path: Path) -> None:
    async with clients_of(tmp_path) as clients:
        client, _ = await clients.create("Desktop")

        async def answer(request: Any, responder: Any, message: Any) -> None:
            key = (request.header(b"authorization") or b"").decode().removeprefix("Bearer ")
            known = await clients.find_client(key)
            body = result(message["id"]) if known else {"error": "no key"}
            await reply(responder, body, status=200 if known else 401)

        async with ScriptedProxy(tmp_path, answer), shim(tmp_path, "desktop", "--server", "own:1") as running:
            assert await running.ask(call(1)) == result(1)
            await clients.revoke(client.id)
            refused = await running.ask(call(2))
            assert refused["error"]["data"]["type"] == "burrow/not_approved"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nobody", "--server", "own:1"), 5, "burrow connect add NAME"),
        (("gone", "--server", "own:1"), 5, "was revoked"),
        (("desktop",), 2, "--server ID"),
        (("desktop", "--server", "\udcff"), 2, "burrow mcp servers"),
        ((), 2, "usage: burrow connect stdio"),
    ],
)
async def test_a_start_that_cannot_work_is_told_in_words(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    async with clients_of(tmp_path) as clients:
        await clients.create("Desktop")
        gone, _ = await clients.create("gone")
        await clients.revoke(gone.id)
    async with shim(tmp_path, *arguments) as running:
        found, rest, said = await running.ended()
        assert (found, rest) == (code, b"")
        assert words in said


async def test_a_proxy_that_the_user_switched_off_is_not_started(tmp_path: Path) -> None:
    async with clients_of(tmp_path) as clients:
        await clients.create("Desktop", servers=["own:1"])
    storage = Storage.open(tmp_path)
    await storage.settings.set(ENABLED_SETTING, value=False)
    await storage.close()
    async with shim(tmp_path, "desktop") as running:
        error = (await running.ask(call(1, "initialize")))["error"]
        assert error["data"]["type"] == "burrow/not_ready"
        assert "Switch it on in Burrow" in error["message"]
        # One that serves all the same is used.
        async with ScriptedProxy(tmp_path):
            assert (await running.ask(call(2)))["id"] == 2


async def test_what_a_library_prints_is_no_message(tmp_path: Path) -> None:
    # Loaded before anything else, and prints when it is told to.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, threading, time\n"
        "def noise():\n"
        f"    while not os.path.exists({str(tmp_path / 'now')!r}):\n"
        "        time.sleep(0.01)\n"
        "    print('noise', flush=True); os.system('echo more noise')\n"
        "threading.Thread(target=noise, daemon=True).start()\n"
    )
    async with clients_of(tmp_path / "data") as clients:
        await clients.create("Desktop", servers=["own:1"])
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", os.getcwd())])
    async with ScriptedProxy(tmp_path / "data"), shim(tmp_path / "data", "desktop", PYTHONPATH=path) as running:
        await running.ask(call(1))
        (tmp_path / "now").touch()
        assert running.process.stderr is not None
        async with asyncio.timeout(SECONDS):
            assert await running.process.stderr.readline() == b"noise\n"
            assert await running.process.stderr.readline() == b"more noise\n"
        assert await running.ask(call(2)) == result(2, {})


async def test_a_program_that_reads_no_more_ends_it(tmp_path: Path) -> None:
    async with clients_of(tmp_path) as clients:
        await clients.create("Desktop", servers=["own:1"])
    async with ScriptedProxy(tmp_path) as proxy, shim(tmp_path, "desktop") as running:
        await running.ask(call(1, "initialize"))
        transport = running.process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        transport.close()
        running.send(call(2))
        async with asyncio.timeout(SECONDS):
            assert await running.process.wait() == 0
        await until(lambda: proxy.methods()[-1] == "DELETE")


@POSIX
async def test_a_program_whose_input_ends_gets_the_answers_under_way(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def answer(request: Any, responder: Any, message: Any) -> None:
        if request.method == "POST" and message.get("id") == 2:
            await ended.wait()
            await asyncio.sleep(0.2)
        await serve_session(request, responder, message)

    async with clients_of(tmp_path) as clients:
        await clients.create("Desktop", servers=["own:1"])
    large = "x" * 3_000_000
    async with ScriptedProxy(tmp_path, answer) as proxy, shim(tmp_path, "desktop") as running:
        for message in (call(1), call(2, text=large), call(3)):
            running.send(message)
        await until(lambda: len(proxy.requests) == 3, SECONDS)
        assert running.process.stdin is not None
        running.process.stdin.close()
        ended.set()
        async with asyncio.timeout(SECONDS):
            assert running.process.stdout is not None
            lines = (await running.process.stdout.read()).splitlines()
            assert await running.process.wait() == 0
    assert {json.loads(line)["id"] for line in lines} == {1, 2, 3}


@POSIX
async def test_a_program_whose_input_ends_is_not_waited_for_longer_than_a_moment(tmp_path: Path) -> None:
    forever = asyncio.Event()

    async def answer(request: Any, responder: Any, message: Any) -> None:
        if request.method == "POST" and "id" in message:
            await forever.wait()
        await serve_session(request, responder, message)

    async with clients_of(tmp_path) as clients:
        await clients.create("Desktop", servers=["own:1"])
    async with ScriptedProxy(tmp_path, answer) as proxy, shim(tmp_path, "desktop") as running:
        running.send(call(1))
        await until(lambda: proxy.requests, SECONDS)
        assert running.process.stdin is not None
        running.process.stdin.close()
        assert (await running.ended())[:2] == (0, b"")
        forever.set()
