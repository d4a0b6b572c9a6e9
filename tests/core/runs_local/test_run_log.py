"""The log of a local run on a disk that does not take it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.core.runs.local import run_log
from app.core.runs.local.run_log import RunLog
from app.core.runs.transcript import Transcript
from tests.core.runs.logs import shown

resource = pytest.importorskip("resource")


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """No file takes more bytes than these: the last write is a part of what was to be written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def say(log: RunLog, text: str) -> None:
    log.notify("_posthog/console", message=text)


def stored(log: RunLog) -> list[str]:
    transcript = Transcript()
    transcript.apply(tuple(log.stored()))
    return shown(transcript)


async def test_what_a_full_disk_did_not_take_is_said_and_written_once_there_is_room(tmp_path: Path) -> None:
    log, live = RunLog(tmp_path / "log.jsonl"), Transcript()
    log.added.subscribe(live.apply)
    say(log, "first")
    await log.flush()
    line = log.path.stat().st_size
    # There is room for one entry and a part of the next.
    with full_at(2 * line + line // 2):
        say(log, "second")
        say(log, "other")
        await log.flush()
        say(log, "third")
        await log.flush()
        assert stored(log) == ["info first"]
    assert shown(live) == [
        *("info first", "info second", "info other"),
        "error The log of this run cannot be stored: File too large.",
        "info third",
    ]
    await log.close()
    assert stored(log) == ["info first", "info second", "info other", "info third"]


async def test_what_waits_for_a_disk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "MOST_UNWRITTEN", 10_000)
    log = RunLog(tmp_path / "log.jsonl")
    with full_at(0):
        for number in range(3):
            say(log, f"{number} {'x' * 4_000}")
            await log.flush()
        assert log.trouble.endswith("in part only.")
    say(log, "last")
    await log.close()
    assert stored(log) == ["info last"]
