"""Burrow's loop is an asyncio loop: timers, threads, sockets, TLS, processes, signals, and other people's libraries."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime
import gc
import logging
import os
import re
import signal
import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import httpx2
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QDialog

from app.ui.loop import SLICE_SECONDS, Loop
from app.ui.workers import Workers
from tests.processes.cancelled import assert_cancelled_starts_leave_nothing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from PySide6.QtWidgets import QApplication

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
unix_only = pytest.mark.skipif(os.name == "nt", reason="needs Unix")


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate of localhost and its key, as PEM files."""

    chain: Path
    key: Path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    made = Certificate(folder / "chain.pem", folder / "key.pem")
    made.chain.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


@pytest.fixture
def loop(qapp: QApplication) -> Iterator[Loop]:
    loop = Loop(qapp)
    yield loop
    loop.close()


def here() -> Loop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    return loop


async def test_callbacks_run_in_the_order_they_were_scheduled() -> None:
    seen: list[int] = []
    for number in range(5):
        here().call_soon(seen.append, number)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert seen == [0, 1, 2, 3, 4]


async def test_timers_run_by_their_time_and_never_early() -> None:
    loop, seen = here(), []
    finished = loop.create_future()
    began = loop.time()
    for delay in (0.03, 0.01, 0.02, 0.0):
        loop.call_later(delay, lambda delay=delay: seen.append((delay, loop.time() - began)))
    loop.call_at(began + 0.04, finished.set_result, None)
    await finished
    assert [delay for delay, _ in seen] == [0.0, 0.01, 0.02, 0.03]
    assert all(took >= delay for delay, took in seen)


async def test_a_timer_set_later_for_sooner_goes_first() -> None:
    loop = here()
    far = loop.call_later(60, lambda: None)
    near = loop.create_future()
    loop.call_later(0.01, near.set_result, None)
    async with asyncio.timeout(5):
        await near
    assert far.when() - loop.time() > 50
    far.cancel()


async def test_a_cancelled_timer_does_not_run_and_the_next_one_does() -> None:
    loop, seen = here(), []
    first = loop.call_later(0.01, seen.append, "cancelled")
    second = loop.create_future()
    loop.call_later(0.02, second.set_result, None)
    first.cancel()
    await second
    assert seen == []


async def test_most_timers_may_be_cancelled_from_the_middle() -> None:
    loop, seen = here(), []
    last = loop.create_future()
    handles = [loop.call_later(0.01 + number / 100_000, seen.append, number) for number in range(1000)]
    loop.call_later(0.05, last.set_result, None)
    for number, handle in enumerate(handles):
        if number % 10:
            handle.cancel()
    assert len(loop._scheduled) < 300
    await last
    assert seen == list(range(0, 1000, 10))


async def test_a_long_queue_is_drained_in_slices() -> None:
    loop, beats = here(), []

    def work() -> None:
        until = time.perf_counter() + SLICE_SECONDS / 4
        while time.perf_counter() < until:
            pass

    beat = QTimer()
    beat.timeout.connect(lambda: beats.append(len(loop._ready)))
    beat.start(0)
    for _ in range(100):
        loop.call_soon(work)
    await asyncio.sleep(SLICE_SECONDS * 30)
    beat.stop()
    assert sum(1 for waiting in beats if waiting > 0) >= 5


async def test_callbacks_keep_their_context() -> None:
    loop = here()
    context = contextvars.copy_context()
    context.run(variable.set, "given")
    seen: list[str] = []
    loop.call_soon(lambda: seen.append(variable.get()), context=context)
    loop.call_later(0, lambda: seen.append(variable.get()), context=context)
    await asyncio.sleep(0.005)
    assert seen == ["given", "given"]


async def test_calls_from_many_threads_all_arrive_on_the_loop_s_thread() -> None:
    loop = here()
    seen: list[int] = []
    threads: set[int] = set()
    everything = asyncio.Event()

    def arrive(number: int) -> None:
        threads.add(threading.get_ident())
        seen.append(number)
        if len(seen) == 4000:
            everything.set()

    def call() -> None:
        for number in range(1000):
            loop.call_soon_threadsafe(arrive, number)

    workers = [threading.Thread(target=call) for _ in range(4)]
    for worker in workers:
        worker.start()
    await everything.wait()
    for worker in workers:
        worker.join()
    assert threads == {threading.get_ident()}


async def test_an_idle_loop_is_woken_by_a_thread() -> None:
    loop = here()
    woken = loop.create_future()
    timer = threading.Timer(0.05, lambda: loop.call_soon_threadsafe(woken.set_result, None))
    timer.start()
    async with asyncio.timeout(5):
        await woken
    timer.join()


def test_a_closed_loop_refuses_calls(loop: Loop) -> None:
    loop.close()
    for call in (loop.call_soon, loop.call_soon_threadsafe):
        with pytest.raises(RuntimeError, match="closed"):
            call(print)
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_later(1, print)
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_forever()


def test_stop_lets_the_ready_callbacks_run(loop: Loop) -> None:
    seen: list[str] = []
    loop.call_soon(loop.stop)
    loop.call_soon(seen.append, "ready before")
    loop.call_soon(lambda: loop.call_soon(seen.append, "became ready after"))
    loop.run_forever()
    assert seen == ["ready before"]
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == ["ready before", "became ready after"]


def test_stop_before_the_start_runs_one_turn(loop: Loop) -> None:
    seen: list[str] = []
    loop.call_soon(seen.append, "once")
    loop.stop()
    loop.run_forever()
    assert seen == ["once"]


def test_nothing_runs_while_the_loop_does_not(loop: Loop, qapp: QApplication) -> None:
    seen: list[str] = []
    loop.call_soon(seen.append, "too early")
    loop.call_later(0, seen.append, "too early")
    qapp.processEvents()
    assert seen == []


def test_the_result_or_the_exception_comes_back(loop: Loop) -> None:
    async def result() -> int:
        await asyncio.sleep(0)
        return 7

    async def error() -> None:
        await asyncio.sleep(0)
        raise LookupError("mine")

    assert loop.run_until_complete(result()) == 7
    with pytest.raises(LookupError, match="mine"):
        loop.run_until_complete(error())


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_should_end_the_program_leaves_the_loop(loop: Loop, error: type[BaseException]) -> None:
    async def leave() -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(error):
        loop.run_until_complete(leave())
    assert loop.run_until_complete(asyncio.sleep(0, "usable")) == "usable"


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_callback_may_end_the_program_too(loop: Loop, error: type[BaseException]) -> None:
    def leave() -> None:
        raise error

    loop.call_soon(leave)
    with pytest.raises(error):
        loop.run_forever()


def test_a_loop_is_not_entered_twice(loop: Loop, qapp: QApplication) -> None:
    async def again() -> None:
        with pytest.raises(RuntimeError, match="already running"):
            loop.run_forever()
        other = Loop(qapp)
        with pytest.raises(RuntimeError, match="another loop is running"):
            other.run_forever()
        other.close()

    loop.run_until_complete(again())


async def test_an_exception_in_a_callback_reaches_the_handler() -> None:
    contexts: list[dict[str, Any]] = []
    here().set_exception_handler(lambda _, context: contexts.append(context))

    def broken() -> None:
        raise ValueError("callback")

    here().call_soon(broken)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert isinstance(contexts[0]["exception"], ValueError)
    assert here().get_exception_handler() is not None


async def test_a_slow_callback_is_named_in_debug_mode(caplog: pytest.LogCaptureFixture) -> None:
    loop = here()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.01

    def dawdle() -> None:
        time.sleep(0.02)

    with caplog.at_level(logging.WARNING, "asyncio"):
        loop.call_soon(dawdle)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    loop.set_debug(False)
    assert "dawdle" in caplog.text
    took = re.search(r"took ([\d.]+) seconds", caplog.text)
    assert took is not None
    assert float(took[1]) >= 0.02


def test_generators_left_open_are_closed_with_the_loop(qapp: QApplication) -> None:
    closed: list[str] = []
    kept: list[Any] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    async def main() -> None:
        kept.append(numbers())
        await anext(kept[0])

    with asyncio.Runner(loop_factory=lambda: Loop(qapp)) as runner:
        runner.run(main())
    assert closed == ["closed"]


def test_closed_loops_leave_nothing_behind(qapp: QApplication) -> None:
    def loops() -> int:
        gc.collect()
        return sum(isinstance(thing, Loop) for thing in gc.get_objects())

    before = loops()
    for _ in range(3):
        with asyncio.Runner(loop_factory=lambda: Loop(qapp)) as runner:
            runner.run(asyncio.sleep(0))
    del runner
    assert loops() <= before


async def test_a_nested_loop_in_a_task_leaves_the_others_going() -> None:
    ticks: list[bool] = []
    dialog = QDialog()

    async def tick() -> str:
        for _ in range(10):
            await asyncio.sleep(0.005)
            ticks.append(dialog.isVisible())
        dialog.accept()
        return "finished"

    ticking = asyncio.create_task(tick())
    outer = asyncio.current_task()
    dialog.exec()
    assert asyncio.current_task() is outer
    assert await ticking == "finished"
    assert all(ticks)


async def test_what_was_ready_before_a_nested_loop_runs_in_it() -> None:
    nested, loop = QEventLoop(), here()
    over = loop.create_future()

    def block() -> None:
        nested.exec()
        over.set_result(None)

    def schedule() -> None:
        loop.call_soon(block)
        loop.call_soon(nested.quit)

    QTimer.singleShot(0, schedule)
    rescue = threading.Timer(5, loop.call_soon_threadsafe, (over.cancel,))
    rescue.start()
    await over
    rescue.cancel()
    rescue.join()


async def test_nested_loops_in_nested_tasks_end_in_order() -> None:
    ended: list[str] = []
    first, second = QDialog(), QDialog()

    async def inner() -> None:
        asyncio.get_running_loop().call_later(0.02, second.accept)
        second.exec()
        ended.append("inner dialog")
        await asyncio.sleep(0.01)
        ended.append("inner task")
        first.accept()

    task = asyncio.create_task(inner())
    first.exec()
    ended.append("outer dialog")
    await task
    assert ended == ["inner dialog", "inner task", "outer dialog"]


async def test_io_and_threads_go_on_in_a_nested_loop() -> None:
    nested = QEventLoop()

    async def work() -> tuple[bytes, int]:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            receiving = asyncio.create_task(here().sock_recv(ours, 10))
            await asyncio.to_thread(theirs.send, b"hello")
            result = await receiving, await asyncio.to_thread(lambda: 42)
        nested.quit()
        return result

    task = asyncio.create_task(work())
    nested.exec()
    assert await task == (b"hello", 42)


async def test_a_task_sharing_the_context_of_one_in_a_nested_loop_waits_for_it() -> None:
    context = contextvars.copy_context()
    seen: list[str] = []
    nested = QEventLoop()

    async def blocking() -> None:
        QTimer.singleShot(20, nested.quit)
        nested.exec()
        seen.append("nested loop over")

    async def sharing() -> None:
        seen.append("shared")

    loop = here()
    async with asyncio.timeout(5):
        await asyncio.gather(
            loop.create_task(blocking(), context=context), loop.create_task(sharing(), context=context)
        )
    assert seen == ["nested loop over", "shared"]


async def test_a_nested_loop_in_a_plain_slot_leaves_everything_going() -> None:
    nested = QEventLoop()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while nested.isRunning() or not ticks:
            await asyncio.sleep(0.002)
            ticks += 1
            if ticks == 5:
                nested.quit()

    QTimer.singleShot(0, nested.exec)
    async with asyncio.timeout(5):
        await tick()
    assert ticks >= 5


async def test_streams_carry_large_data_both_ways() -> None:
    payload = os.urandom(3_000_000)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())

        async def send() -> None:
            writer.write(payload)
            await writer.drain()
            writer.write_eof()

        _, received = await asyncio.gather(send(), reader.read(-1))
        writer.close()
        await writer.wait_closed()
    assert received == payload


async def test_a_refused_connection_says_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*unused.getsockname())


async def test_a_reader_is_called_until_it_is_removed() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        chunks: asyncio.Queue[bytes] = asyncio.Queue()
        here().add_reader(ours, lambda: chunks.put_nowait(ours.recv(1)))
        theirs.send(b"ab")
        assert [await chunks.get(), await chunks.get()] == [b"a", b"b"]
        assert here().remove_reader(ours)
        assert not here().remove_reader(ours)
        theirs.send(b"c")
        await asyncio.sleep(0.01)
        assert chunks.empty()


async def test_a_later_reader_replaces_the_earlier() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        seen: asyncio.Queue[str] = asyncio.Queue()
        here().add_reader(ours, seen.put_nowait, "first")
        here().add_reader(ours, lambda: (ours.recv(1), seen.put_nowait("second")))
        theirs.send(b"x")
        assert await seen.get() == "second"
        here().remove_reader(ours)
        assert seen.empty()


async def test_tls_reaches_a_server_on_the_same_loop(certificate: Certificate) -> None:
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(certificate.chain, certificate.key)
    outside = ssl.create_default_context(cafile=str(certificate.chain))

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello " + await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=inside)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=outside, server_hostname="localhost")
        writer.write(b"world\n")
        assert await reader.read() == b"hello world\n"
        writer.close()
        await writer.wait_closed()


async def test_a_subprocess_is_spoken_to_and_ends() -> None:
    echo = "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.exit(3)"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", echo, stdin=pipe, stdout=pipe)
    output, _ = await process.communicate(b"hello" * 50_000)
    assert output == b"HELLO" * 50_000
    assert process.returncode == 3


async def test_a_subprocess_is_terminated() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    await process.stdout.readline()
    process.terminate()
    assert await process.wait() != 0


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
async def test_a_start_of_a_process_that_is_cancelled_at_any_await_leaves_nothing() -> None:
    await assert_cancelled_starts_leave_nothing()


@unix_only
async def test_a_signal_wakes_an_idle_loop() -> None:
    came = asyncio.Event()
    here().add_signal_handler(signal.SIGUSR1, came.set)
    timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    async with asyncio.timeout(5):
        await came.wait()
    timer.join()
    assert here().remove_signal_handler(signal.SIGUSR1)


async def test_a_worker_that_hangs_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    begun, release = threading.Semaphore(0), threading.Event()

    def hang() -> None:
        begun.release()
        release.wait(30)

    workers = Workers(limit=2, patience=0.05)
    futures = [workers.submit(hang) for _ in range(10)]
    for _ in range(2):
        assert await asyncio.to_thread(begun.acquire, timeout=5)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        await asyncio.to_thread(workers.shutdown)
    assert time.monotonic() - began < 5
    assert "Left behind" in caplog.text
    assert sum(future.cancelled() for future in futures) == 8
    with pytest.raises(RuntimeError, match="shut down"):
        workers.submit(hang)
    release.set()
    await asyncio.gather(*(asyncio.wrap_future(future) for future in futures if not future.cancelled()))


async def test_workers_carry_results_and_exceptions() -> None:
    def fail() -> None:
        raise LookupError("worker")

    assert await asyncio.gather(*(asyncio.to_thread(lambda n=n: n * n) for n in range(30))) == [
        number * number for number in range(30)
    ]
    with pytest.raises(LookupError, match="worker"):
        await asyncio.to_thread(fail)


async def test_anyio_runs_groups_deadlines_and_threads() -> None:
    seen: list[str] = []

    async def work(name: str, seconds: float) -> None:
        await anyio.sleep(seconds)
        seen.append(name)

    async with anyio.create_task_group() as group:
        group.start_soon(work, "slow", 0.02)
        group.start_soon(work, "quick", 0.001)
    assert seen == ["quick", "slow"]
    with anyio.move_on_after(0.01) as scope:
        await anyio.sleep(30)
    assert scope.cancelled_caught
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.01):
            await anyio.sleep(30)
    assert (
        await anyio.to_thread.run_sync(lambda: anyio.from_thread.run_sync(threading.get_ident)) == threading.get_ident()
    )


@contextlib.asynccontextmanager
async def served(**options: Any) -> AsyncIterator[str]:
    """A uvicorn server on this very loop, answering with what it was sent; `/hang` is not answered while it runs."""
    ended = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["path"] == "/hang":
            await ended.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body or b"x" * 500_000})

    config = uvicorn.Config(application, lifespan="off", log_config=None, timeout_graceful_shutdown=1, **options)
    server = uvicorn.Server(config)
    sock = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server._serve([sock]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.001)
    try:
        scheme = "https" if "ssl_certfile" in options else "http"
        yield f"{scheme}://localhost:{sock.getsockname()[1]}"
    finally:
        ended.set()
        server.should_exit = True
        await serving
        sock.close()


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_http_clients_work_against_a_server_on_the_same_loop(library: Any, certificate: Certificate) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate.chain))
    async with (
        served() as plain,
        served(ssl_certfile=certificate.chain, ssl_keyfile=certificate.key) as secure,
        library.AsyncClient(verify=trusted, trust_env=False) as client,
    ):
        answers = await asyncio.gather(*(client.get(plain) for _ in range(10)), client.get(secure))
        assert [len(answer.content) for answer in answers] == [500_000] * 11
        assert (await client.post(secure, content=b"y" * 300_000)).content == b"y" * 300_000
        with pytest.raises(library.ReadTimeout):
            await client.get(plain + "/hang", timeout=0.05)
        waiting = asyncio.create_task(client.get(plain + "/hang"))
        await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


@unix_only
async def test_unix_sockets_carry_streams(tmp_path: Path) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    path = str(tmp_path / "socket")
    async with await asyncio.start_unix_server(greet, path):
        reader, writer = await asyncio.open_unix_connection(path)
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()


async def test_names_are_resolved() -> None:
    assert await here().getaddrinfo("localhost", 80)
