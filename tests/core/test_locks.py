"""What processes share about a grant: one lock that dies with its holder, a stamp that tells of changes, a claim."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.core.auth.grant.files import NO_STAMP, GrantFiles
from app.core.auth.grant.lock import LockBusy, ProcessLock
from app.core.errors import StorageTrouble

HOLD = """
import asyncio, sys
from pathlib import Path
from app.core.auth.grant.files import GrantFiles
async def main():
    files = GrantFiles(Path(sys.argv[1]), "g")
    async with files.lock.hold():
        files.claim()
        print("held", flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """A process that holds lock and claim until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


async def test_a_killed_holder_lets_go_at_once(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    lock = ProcessLock(tmp_path / "g.lock")
    waiting = asyncio.create_task(_take(lock))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    holder.kill()
    killed = time.monotonic()
    await waiting
    assert time.monotonic() - killed < 2


async def _take(lock: ProcessLock) -> None:
    async with lock.hold():
        pass


async def test_a_holder_that_hangs_is_waited_for_no_longer_than_the_deadline(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(LockBusy):
        async with ProcessLock(tmp_path / "g.lock", deadline=0.1).hold():
            pass


async def test_what_a_person_decided_goes_on_without_a_lock_that_hangs(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    done = False
    async with ProcessLock(tmp_path / "g.lock", deadline=0.1).try_hold():
        done = True
    assert done
    assert holder.poll() is None


async def test_a_cancelled_waiter_leaves_the_lock_to_the_next(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path / "g.lock")
    async with lock.hold():
        waiting = asyncio.create_task(_take(lock))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.wait_for(_take(lock), 1)


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("")
    with pytest.raises(StorageTrouble, match="in the way"):
        async with ProcessLock(tmp_path / "in the way" / "g.lock").hold():
            pass
    with pytest.raises(StorageTrouble, match="in the way"):
        GrantFiles(tmp_path / "in the way", "g").change_stamp()


async def test_a_claim_is_seen_by_others_until_its_process_dies(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    files = GrantFiles(tmp_path, "g")
    assert files.claimed_elsewhere
    files.claim()
    holder.kill()
    holder.wait()
    assert not files.claimed_elsewhere


def test_ones_own_claim_is_not_somebody_elses(tmp_path: Path) -> None:
    files = GrantFiles(tmp_path, "g")
    files.claim()
    files.claim()
    assert not files.claimed_elsewhere
    assert GrantFiles(tmp_path, "g").claimed_elsewhere
    files.release_claim()
    files.release_claim()
    assert not GrantFiles(tmp_path, "g").claimed_elsewhere


def test_a_stamp_is_never_what_it_was(tmp_path: Path) -> None:
    files = GrantFiles(tmp_path / "locks", "g")
    assert files.stamp() == NO_STAMP
    seen = {files.change_stamp() for _ in range(50)}
    assert len(seen) == 50
    assert files.stamp() in seen
    assert NO_STAMP not in seen


def test_a_stamp_that_changes_never_looks_as_if_nothing_had_been_stored(tmp_path: Path) -> None:
    files = GrantFiles(tmp_path, "g")
    files.change_stamp()
    done = threading.Event()
    seen: set[str] = set()

    def look() -> None:
        while not done.is_set():
            seen.add(files.stamp())

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        for _ in range(3000):
            files.change_stamp()
        done.set()
        looking.result()
    assert NO_STAMP not in seen


def test_a_torn_stamp_only_differs(tmp_path: Path) -> None:
    files = GrantFiles(tmp_path, "g")
    known = files.change_stamp()
    os.truncate(tmp_path / "g.stamp", 5)
    assert files.stamp() != known
    (tmp_path / "g.stamp").write_bytes(b"\xff\xfe")
    assert files.stamp() != known
