"""The outbox that several processes share: one sends an item, and another only once that one has died."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.core.storage import Scope, Storage

ADA, BOB = Scope("us", "ada"), Scope("us", "bob")
KIND = "create-task"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


class Other:
    """Another process on the same folder."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.core._outbox_process", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read() == "ready\n"

    def tell(self, words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{words}\n")
        self.process.stdin.flush()

    def hear(self) -> object:
        return json.loads(self._read())

    def ask(self, words: str) -> object:
        self.tell(words)
        return self.hear()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(5)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@pytest.fixture
def others(tmp_path: Path) -> Iterator[list[Other]]:
    started = [Other(tmp_path), Other(tmp_path), Other(tmp_path)]
    yield started
    for each in started:
        each.end()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Storage]:
    storage = Storage.open(folder)
    try:
        yield storage
    finally:
        await storage.close()


async def test_three_processes_claim_each_of_many_items_once(tmp_path: Path, others: list[Other]) -> None:
    async with opened(tmp_path) as storage:
        items = [await storage.outbox.add(ADA, KIND, {"number": number}) for number in range(40)]
        for other in others:
            other.tell("all")
        answers = await asyncio.gather(*(asyncio.to_thread(other.hear) for other in others))
        sent = [item for answer in answers if isinstance(answer, list) for item in answer]
        assert sorted(sent) == sorted(item.id for item in items)
        assert await storage.outbox.list(ADA) == ()


async def test_a_claimed_item_is_its_owners_alone(tmp_path: Path, others: list[Other]) -> None:
    async with opened(tmp_path) as storage:
        item = await storage.outbox.add(ADA, KIND, {})
        assert others[0].ask(f"claim {item.id} sending")
        [shown] = await storage.outbox.list(ADA)
        assert (shown.state, shown.claimed_elsewhere) == ("sending", True)
        assert await storage.outbox.claim(item.id) is None
        assert not await storage.outbox.update(item.id, "mine")
        assert not await storage.outbox.release(item.id, "mine")
        assert not await storage.outbox.remove(item.id)
        assert others[0].ask(f"claim {item.id}"), "its owner may claim it again"
        assert others[0].ask(f"release {item.id} waiting")
        [shown] = await storage.outbox.list(ADA)
        assert (shown.state, shown.claimed_elsewhere) == ("waiting", False)
        assert await storage.outbox.claim(item.id) is not None
        assert not others[0].ask(f"remove {item.id}")


@pytest.mark.parametrize("how", ["killed", "ended"])
async def test_when_the_owner_has_died_the_item_is_free_and_says_how_far_it_came(
    tmp_path: Path, others: list[Other], how: str
) -> None:
    async with opened(tmp_path) as storage:
        item = await storage.outbox.add(ADA, KIND, {})
        assert others[0].ask(f"claim {item.id} sending")
        if how == "killed":
            others[0].kill()
        else:
            others[0].process.communicate(timeout=10)
        [shown] = await storage.outbox.list(ADA)
        assert (shown.state, shown.claimed_elsewhere) == ("sending", False)
        found = await storage.outbox.claim(item.id, "again")
        assert found is not None
        assert found.state == "sending"
        assert not others[1].ask(f"claim {item.id}")
    assert others[1].ask(f"claim {item.id}"), "closing the storage gives up what it had claimed"
    others[1].process.communicate(timeout=10)
    assert list((tmp_path / "locks").iterdir()) == []


@POSIX
async def test_of_a_frozen_owner_nothing_is_taken_over(tmp_path: Path, others: list[Other]) -> None:
    async with opened(tmp_path) as storage:
        item = await storage.outbox.add(ADA, KIND, {})
        assert others[0].ask(f"claim {item.id} sending")
        os.kill(others[0].process.pid, signal.SIGSTOP)
        try:
            assert await storage.outbox.claim(item.id) is None
            assert not others[1].ask(f"claim {item.id}")
        finally:
            os.kill(others[0].process.pid, signal.SIGCONT)
        assert others[0].ask(f"remove {item.id}")
        assert await storage.outbox.list(ADA) == ()


async def test_an_item_waits_for_the_older_one_that_another_process_sends(tmp_path: Path, others: list[Other]) -> None:
    async with opened(tmp_path) as storage:
        first = await storage.outbox.add(ADA, KIND, {"number": 1})
        second = await storage.outbox.add(ADA, KIND, {"number": 2})
        other_kind = await storage.outbox.add(ADA, "delete-task", {})
        other_account = await storage.outbox.add(BOB, KIND, {})
        assert others[0].ask(f"next {first.id}")
        assert not others[1].ask(f"next {second.id}")
        assert others[1].ask(f"next {other_kind.id}")
        assert others[1].ask(f"next {other_account.id}")
        assert others[2].ask(f"claim {second.id}"), "whoever does not ask for the order gets it"
        assert others[2].ask(f"release {second.id}")
        assert others[0].ask(f"remove {first.id}")
        assert others[1].ask(f"next {second.id}")


async def test_an_item_that_was_claimed_for_a_cancelled_caller_is_free_again(
    tmp_path: Path, others: list[Other]
) -> None:
    async with opened(tmp_path) as storage:
        item = await storage.outbox.add(ADA, KIND, {})
        for work in (storage.outbox.claim(item.id), storage.outbox.add(ADA, KIND, {}, claim=True)):
            task = asyncio.ensure_future(work)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        items = await storage.outbox.list(ADA)
        assert len(items) == 2
        assert all(others[0].ask(f"claim {item.id}") for item in items)


async def test_an_item_is_stored_and_claimed_in_one_step(tmp_path: Path, others: list[Other]) -> None:
    async with opened(tmp_path) as storage:
        item = await storage.outbox.add(ADA, KIND, {}, claim=True)
        assert not others[0].ask(f"claim {item.id}")
        assert await storage.outbox.remove(item.id)


async def test_an_outbox_in_memory_has_no_other_owner() -> None:
    storage = Storage.in_memory()
    item = await storage.outbox.add(ADA, KIND, {}, claim=True)
    assert await storage.outbox.claim(item.id) is not None
    assert await storage.outbox.remove(item.id)
    await storage.close()
