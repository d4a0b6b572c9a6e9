"""Background tasks: their owner ends them, and no failure of theirs is lost."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from app.core.background import BackgroundTasks
from app.core.errors import Offline


async def test_a_bug_in_a_background_task_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise RuntimeError("a bug")

    background = BackgroundTasks()
    await asyncio.wait([background.start(broken())])
    await background.close()
    gc.collect()
    [record] = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "a bug"


async def test_an_expected_failure_is_no_error_and_is_given_to_who_waits(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def offline() -> None:
        raise Offline("The host cannot be reached.")

    background = BackgroundTasks()
    task = background.start(offline())
    with pytest.raises(Offline):
        await task
    await background.close()
    assert [each.levelno for each in caplog.records if "cannot be reached" in each.getMessage()] == [logging.INFO]


async def test_closing_cancels_what_was_started_and_waits_for_what_records() -> None:
    background, written = BackgroundTasks(), asyncio.Event()

    async def endless() -> None:
        await asyncio.Event().wait()

    async def record() -> None:
        await asyncio.sleep(0.01)
        written.set()

    task = background.start(endless())
    background.record(record())
    await background.close()
    assert task.cancelled()
    assert written.is_set()
