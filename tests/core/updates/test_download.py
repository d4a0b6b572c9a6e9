"""The file comes in pieces, goes on where it stopped, and is used only if it is the one that was signed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from app.core.auth.http.clients import HttpClients
from app.core.errors import BurrowError, Offline, Rejected, ServerTrouble, StorageTrouble, TimedOut, UpdateRefused
from app.core.updates.download import Pace
from app.core.updates.service import Updates
from app.core.updates.status import UpdateState
from tests.core.updates._repository import CONTENT, Rig, tool

FILE = "/targets/"


async def available(rig: Rig, content: bytes = CONTENT, **options: Any) -> Updates:
    rig.add("0.2.0", content)
    updates = rig.updates(**options)
    await updates.check()
    return updates


def staged(rig: Rig) -> list[Path]:
    return sorted((rig.data / "updates" / "staged").glob("*"))


def ranges(rig: Rig) -> list[str]:
    """The ranges that were asked for, empty for the whole file."""
    return [headers.get("Range", "") for path, headers in rig.server.asked if FILE in path]


def cut_after(updates: Updates, count: int) -> Any:
    """An answer that ends once so many bytes of what was asked for have been read."""

    def answer(handler: Any, body: bytes) -> bool:
        head: list[bytes] = []
        write = handler.wfile.write

        def counted(data: bytes) -> None:
            write(data[:count] if head else data)
            head.append(data[:1])

        handler.wfile.write = counted
        start = updates.status.received
        try:
            handler.serve(body)
        finally:
            handler.wfile.write = write
            handler.close_connection = True
        # What is not read yet when a connection breaks is lost, and would come again.
        until_read(updates, start + count)
        return True

    return answer


def until_read(updates: Updates, count: int) -> None:
    deadline = time.monotonic() + 10
    while updates.status.received < count and time.monotonic() < deadline:
        time.sleep(0.002)


@pytest.mark.parametrize(
    "content",
    [CONTENT[:-1] + b"x", b"x" * len(CONTENT), CONTENT[1:] + b"x"],
    ids=["last byte", "other bytes", "moved by one"],
)
async def test_a_tampered_file_of_the_same_length_is_refused(rig: Rig, content: bytes) -> None:
    updates = await available(rig)
    rig.server.faults[FILE] = lambda handler, _: handler.reply(200, content) or True

    with pytest.raises(UpdateRefused) as caught:
        await updates.download()

    assert caught.value.facts.code == "tampered"
    assert updates.status.state is UpdateState.AVAILABLE
    assert staged(rig) == []
    with pytest.raises(Rejected):
        await updates.arm()
    await rig.clients.close()


async def test_a_file_that_is_longer_than_was_signed_is_cut_off(rig: Rig) -> None:
    updates = await available(rig)
    written = []

    def longer(handler: Any, body: bytes) -> bool:
        handler.send_response(200)
        handler.end_headers()
        try:
            handler.wfile.write(body)
            for _ in range(2_000):
                handler.wfile.write(bytes(65_536))
                written.append(65_536)
        except OSError:
            pass
        handler.close_connection = True
        return True

    rig.server.faults[FILE] = longer

    with pytest.raises(UpdateRefused):
        await updates.download()

    # Of 131 MB: what was on its way.
    assert sum(written) < 65_000_000
    assert staged(rig) == []
    await rig.clients.close()


async def test_a_shorter_file_with_its_own_length_is_never_ready(rig: Rig) -> None:
    updates = await available(rig)
    rig.server.faults[FILE] = lambda handler, body: handler.reply(200, body[:-1]) or True

    with pytest.raises(ServerTrouble):
        await updates.download()

    assert updates.status.state is UpdateState.AVAILABLE
    assert updates.status.received == len(CONTENT) - 1
    await rig.clients.close()


async def test_a_download_goes_on_wherever_the_connection_breaks(rig: Rig) -> None:
    content = random.Random(11).randbytes(900_000)
    updates = await available(rig, content)
    rest = [0, 1, 262_143, 262_144, 262_145, 100_000, 7]
    for count in rest:
        rig.server.faults[FILE] = cut_after(updates, count)
        with pytest.raises(BurrowError):
            await updates.download()
    rig.server.faults.clear()

    assert (await updates.download()).state is UpdateState.READY

    starts = [0, 0, 1, *(sum(rest[: each + 1]) for each in range(2, len(rest)))]
    assert ranges(rig) == [f"bytes={start}-" if start else "" for start in starts]
    assert [path.read_bytes() == content for path in staged(rig)] == [True]
    await rig.clients.close()


def test_a_download_goes_on_after_its_process_was_killed(rig: Rig) -> None:
    content = random.Random(7).randbytes(3_000_000)
    rig.add("0.2.0", content)
    part = rig.data / "updates" / "staged" / f"{entry(rig)}.part"
    had = [0]
    for offset in (300_000, 2_900_000):
        released = threading.Event()
        rig.server.faults[FILE] = stalls_at(offset, released)
        process = start(rig)
        # Written in pieces of 256 KiB.
        until_file_has(part, offset - 270_000)
        process.kill()
        process.communicate(timeout=5)
        released.set()
        had.append(part.stat().st_size)
    rig.server.faults[FILE] = lambda handler, body: handler.serve(body, '"one"') or True

    last = start(rig)

    assert last.communicate(timeout=30)[0] == b"ready\n"
    assert ranges(rig) == [f"bytes={start}-" if start else "" for start in had]
    assert had == sorted(set(had))
    assert (rig.data / "updates" / "staged" / entry(rig)).read_bytes() == content


def stalls_at(offset: int, released: threading.Event) -> Any:
    """An answer that sends the file up to `offset` and no further."""

    def answer(handler: Any, body: bytes) -> bool:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body) - start))
        handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        handler.send_header("ETag", '"one"')
        handler.end_headers()
        handler.wfile.write(body[start:offset])
        released.wait(20)
        handler.close_connection = True
        return True

    return answer


def until_file_has(path: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.stat().st_size > count):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start(rig: Rig) -> subprocess.Popen[bytes]:
    root = rig.folder / "root.json"
    root.write_bytes(rig.root)
    assert rig.image.exists()
    command = [sys.executable, "-m", "tests.core.updates._download_process", rig.server.url, str(root), str(rig.data)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def entry(rig: Rig) -> str:
    """The signed hash of the only release."""
    targets = rig.repository._newest("targets").signed.targets
    return str(next(iter(targets.values())).hashes["sha256"])


async def test_a_file_that_changes_on_the_server_is_asked_for_from_the_start(rig: Rig) -> None:
    """The rest of another file must not be put behind the beginning of the first."""
    updates = await available(rig)
    wrong = bytes(len(CONTENT))
    rig.server.faults[FILE] = lambda handler, _: cut_after(updates, 5_000)(handler, wrong)
    with pytest.raises(BurrowError):
        await updates.download()
    rig.server.faults.clear()

    assert (await updates.download()).state is UpdateState.READY

    assert ranges(rig) == ["", "bytes=5000-"]
    assert [path.read_bytes() for path in staged(rig)] == [CONTENT]
    await rig.clients.close()


async def test_pieces_of_two_files_are_not_used_and_the_whole_is_asked_for_again(rig: Rig) -> None:
    """A server that ignores `If-Range` and has no tags."""
    updates = await available(rig)
    wrong = bytes(len(CONTENT))

    def untagged(handler: Any, body: bytes, limit: int | None = None) -> bool:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        sent = body[start:limit]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body) - start))
        # Else the client may send its next request on a connection that is being closed.
        handler.send_header("Connection", "close")
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(sent)
        until_read(updates, start + len(sent))
        handler.close_connection = True
        return True

    rig.server.faults[FILE] = lambda handler, _: untagged(handler, wrong, 5_000)
    with pytest.raises(BurrowError):
        await updates.download()
    rig.server.faults[FILE] = lambda handler, body: untagged(handler, body)

    assert (await updates.download()).state is UpdateState.READY

    assert ranges(rig) == ["", "bytes=5000-", ""]
    await rig.clients.close()


@pytest.mark.parametrize(
    "span", ["bytes 0-9/10", "bytes 4999-307199/307200", "bytes 5000-307199/307201", "nonsense", ""]
)
async def test_a_range_that_was_not_asked_for_is_not_taken(rig: Rig, span: str) -> None:
    updates = await available(rig)
    rig.server.faults[FILE] = cut_after(updates, 5_000)
    with pytest.raises(BurrowError):
        await updates.download()
    answers = iter([206])

    def odd(handler: Any, body: bytes) -> bool:
        if next(answers, None) is None:
            return False
        handler.reply(206, body[5_000:], **{"Content-Range": span} if span else {})
        return True

    rig.server.faults[FILE] = odd

    assert (await updates.download()).state is UpdateState.READY

    assert ranges(rig) == ["", "bytes=5000-", ""]
    await rig.clients.close()


async def test_a_server_without_ranges_sends_the_whole_again(rig: Rig) -> None:
    updates = await available(rig)
    rig.server.faults[FILE] = cut_after(updates, 5_000)
    with pytest.raises(BurrowError):
        await updates.download()
    rig.server.faults[FILE] = lambda handler, body: handler.reply(200, body) or True

    assert (await updates.download()).state is UpdateState.READY
    await rig.clients.close()


async def test_a_file_that_drips_is_given_up_and_goes_on_later(rig: Rig) -> None:
    updates = await available(rig, pace=Pace(0.2, 50_000))
    gone = threading.Event()

    def drips(handler: Any, body: bytes) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.send_header("ETag", '"drip"')
        handler.end_headers()
        for at in range(0, len(body), 100):
            try:
                handler.wfile.write(body[at : at + 100])
            except OSError:
                gone.set()
                break
            gone.wait(0.01)
        handler.close_connection = True
        return True

    rig.server.faults[FILE] = drips
    with pytest.raises(TimedOut):
        await updates.download()
    have = updates.status.received
    assert 0 < have < 50_000
    rig.server.faults[FILE] = lambda handler, body: handler.serve(body, '"drip"') or True

    assert (await updates.download()).state is UpdateState.READY

    assert ranges(rig)[-1] == f"bytes={have}-"
    await rig.clients.close()


async def test_a_download_that_is_cancelled_keeps_what_it_has(rig: Rig) -> None:
    content = random.Random(3).randbytes(900_000)
    updates = await available(rig, content)
    halfway, gone = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def half(handler: Any, body: bytes) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:600_000])
        loop.call_soon_threadsafe(halfway.set)
        gone.wait(20)
        handler.close_connection = True
        return True

    rig.server.faults[FILE] = half
    task = asyncio.create_task(updates.download())
    await halfway.wait()
    await asyncio.to_thread(until_read, updates, 300_000)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gone.set()

    assert updates.status.state is UpdateState.AVAILABLE
    assert staged(rig)[0].stat().st_size >= 300_000
    await rig.clients.close()


async def test_a_downloaded_file_is_ready_after_the_next_start_too(rig: Rig) -> None:
    updates = await available(rig)
    await updates.download()

    again = rig.updates()
    status = await again.load()

    assert status.state is UpdateState.READY
    assert status.release == updates.status.release
    await rig.clients.close()


async def test_what_was_downloaded_is_verified_again_before_it_is_installed(rig: Rig) -> None:
    updates = await available(rig)
    await updates.download()
    staged(rig)[0].write_bytes(b"x" * len(CONTENT))

    with pytest.raises(UpdateRefused):
        await updates.arm()

    assert updates.armed is None
    assert updates.status.state is UpdateState.AVAILABLE
    assert staged(rig) == []
    await rig.clients.close()


async def test_an_update_that_was_withdrawn_is_not_installed_days_later(rig: Rig) -> None:
    moment = [1_000.0]
    path = rig.add("0.2.0")
    updates = rig.updates(now=lambda: moment[0])
    await updates.check()
    await updates.download()
    rig.repository.withdraw(path)
    moment[0] += 2 * 86_400

    with pytest.raises(Rejected):
        await updates.arm()

    assert updates.status.state is UpdateState.CURRENT
    assert staged(rig) == []
    await rig.clients.close()


async def test_a_full_disk_is_said_and_leaves_nothing(rig: Rig, tmp_path: Path) -> None:
    """The limit of this process for one file stands for the disk: the write itself fails."""
    import resource

    updates = await available(rig)
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, former[1]))
    try:
        with pytest.raises(StorageTrouble) as caught:
            await updates.download()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        signal.signal(signal.SIGXFSZ, ignored)

    assert "not enough room" in caught.value.cause
    assert staged(rig) == []
    assert (await updates.download()).state is UpdateState.READY
    await rig.clients.close()


async def test_a_file_in_the_place_of_the_folder_is_said(rig: Rig) -> None:
    rig.add()
    (rig.data / "updates").write_text("not a folder")

    with pytest.raises(StorageTrouble):
        await rig.updates().check()
    await rig.clients.close()


async def test_of_two_processes_one_is_at_the_update(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.core.file_lock import file_lock
    from app.core.updates import service

    updates = await available(rig)
    lock = file_lock(rig.data / "updates" / "lock")
    lock.acquire()
    monkeypatch.setattr(service, "LOCK_SECONDS", 0.05)

    with pytest.raises(Rejected) as caught:
        await updates.download()

    lock.release()
    assert caught.value.facts.code == "locked"
    assert (await updates.download()).state is UpdateState.READY
    await rig.clients.close()


async def test_a_server_that_is_not_there_is_offline(rig: Rig) -> None:
    updates = await available(rig)
    rig.server.close()
    # The connection that is kept goes to a server that is still there.
    await rig.clients.close()
    rig.clients = HttpClients()

    with pytest.raises(Offline):
        await updates.download()

    assert updates.status.state is UpdateState.AVAILABLE
    await rig.clients.close()


async def test_every_file_of_updates_is_private(rig: Rig) -> None:
    former = os.umask(0o022)
    try:
        updates = await available(rig)
        await updates.download()
    finally:
        os.umask(former)

    folder = rig.data / "updates"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}
    await rig.clients.close()


def test_keys_are_readable_for_their_owner_only(tmp_path: Path) -> None:
    tool().make_keys(tmp_path / "keys", roots=2)

    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").glob("*")} == {0o600}
    with pytest.raises(FileExistsError):
        tool().make_keys(tmp_path / "keys", roots=1)
