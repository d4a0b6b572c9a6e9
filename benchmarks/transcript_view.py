"""What a transcript of 100,000 log entries costs the window: opening, scrolling, appending; and those nobody looks at.

The entries go through the real reducer into the real view on the application's loop, offscreen, against a heartbeat of
5 ms. Opening and painting are timed by the processor time of this process, because other work on the machine says
nothing about ours; the heartbeat is wall time, so run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.ui.imports import unhook

unhook()

from PySide6.QtCore import Qt, QTimer  # noqa: E402 - after `unhook`
from PySide6.QtWidgets import QApplication  # noqa: E402

from app.core.events import Event  # noqa: E402
from app.core.posthog.types import Task, TaskRun  # noqa: E402
from app.core.runs.log_entries import entry  # noqa: E402
from app.core.runs.transcript import Transcript  # noqa: E402
from app.ui.bridge import Bridge  # noqa: E402
from app.ui.loop import Loop, freeze_collector  # noqa: E402
from app.ui.tasks.run_pool import OpenedConversation, RunPool, WantedRun  # noqa: E402
from app.ui.theme import apply_theme  # noqa: E402
from app.ui.transcript.connection_line import ConnectionState  # noqa: E402
from app.ui.transcript.page import TranscriptPage  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.core.runs.log_entries import LogEntry

ENTRIES = 100_000
BATCH = 1_000
BEAT_MS = 5
APPENDED_A_SECOND = 1_000
BATCHES_A_SECOND = 20
SECONDS = 5
BACKGROUND, BACKGROUND_A_SECOND = 9, 60
TARGETS = {
    "open": (1000.0, "ms to open it and paint its end"),
    "wheel": (16.0, "ms p99 of a frame while the wheel turns"),
    "page": (16.0, "ms p99 of a frame, page by page"),
    "jump": (16.0, "ms p99 of a frame after a jump"),
    "append": (50.0, "ms longest gap while 1,000 entries a second are added"),
    "background": (16.0, "ms p99 of the gaps with nine live transcripts out of view"),
    "layouts": (200.0, "layouts kept"),
}


def entries(count: int, first: int = 0, *, live: bool = False) -> Iterator[LogEntry]:
    """A long run: prompts, thoughts, calls with their results, answers."""
    for number in range(first, first + count):
        yield _entry(number, live=live)


def _update(update: str, live: bool, /, **fields: object) -> LogEntry:
    return entry("session/update", {"sessionId": "s", "update": {"sessionUpdate": update, **fields}}, live=live)


def _entry(number: int, *, live: bool) -> LogEntry:
    step = number % 20
    if step == 0:
        prompt = [{"type": "text", "text": f"Prompt {number}: please go on with the next part."}]
        return entry("session/prompt", {"sessionId": "s", "prompt": prompt}, id=str(number), live=live)
    if step in (1, 11):
        return _update("agent_thought_chunk", live, content={"type": "text", "text": "Let me look at it. " * 8})
    if step == 19:
        words = f"Answer **{number}** with `code`.\n\n" + "Some more words about it. " * (number % 30)
        return _update("agent_message", live, content={"type": "text", "text": words})
    call = f"call-{number - number % 2}"
    if step % 2 == 0:
        kind = ("read", "edit", "execute", "search")[step // 2 % 4]
        return _update(
            "tool_call", live, toolCallId=call, title=f"{kind} src/file{number}.py", kind=kind, status="pending"
        )
    text = "".join(f"line {line} of the output\n" for line in range(number % 60))
    content = [{"type": "content", "content": {"type": "text", "text": text}}]
    return _update("tool_call_update", live, toolCallId=call, status="completed", content=content)


def frames(page: TranscriptPage, count: int, move: str) -> list[float]:
    """The processor time in ms of each frame while it is scrolled."""
    bar, taken = page.view.verticalScrollBar(), []
    chance = random.Random(1)
    steps = {"wheel": lambda: bar.value() - 72, "page": lambda: bar.value() - bar.pageStep()}
    for _ in range(count):
        began = process_time()
        bar.setValue(steps[move]() if move in steps else chance.randrange(max(1, bar.maximum())))
        page.view.viewport().repaint()
        taken.append((process_time() - began) * 1000)
    return taken


class Followed:
    """A conversation as the pool follows it: its transcript grows."""

    queued, hold = (), ""

    def __init__(self, run: TaskRun) -> None:
        self.run, self.transcript = run, Transcript(run.id)
        self.changed: Event[None] = Event()
        self.connection = ConnectionState("live")


async def followed(count: int) -> tuple[RunPool, list[Transcript]]:
    """A pool that follows so many runs out of view, and their transcripts."""
    opened: list[Transcript] = []

    def follow(_backend: object, _task: Task, run: TaskRun) -> OpenedConversation:
        made = Followed(run)
        opened.append(made.transcript)
        return OpenedConversation(made, made.transcript.close)  # type: ignore[arg-type]

    pool = RunPool(Bridge(), follow)
    pool.start(object())  # type: ignore[arg-type]
    runs = [TaskRun(f"r{number}", status="in_progress", environment="cloud") for number in range(count)]
    pool.follow([WantedRun(Task(f"t{run.id}", latest_run=run), run) for run in runs])
    while len(opened) < count:  # noqa: ASYNC110 - the pool has no event for it
        await asyncio.sleep(0.05)
    return pool, opened


class Heart:
    """Gaps between beats, in ms."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self._last = perf_counter()
        self._timer = QTimer(interval=BEAT_MS)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)

    def start(self) -> None:
        self.gaps, self._last = [], perf_counter()
        self._timer.start()

    def stop(self) -> list[float]:
        self._timer.stop()
        return self.gaps

    def _beat(self) -> None:
        now = perf_counter()
        self.gaps.append((now - self._last) * 1000)
        self._last = now


def batches(a_second: int, seconds: int) -> list[list[LogEntry]]:
    """Entries that are added one batch after the other. Made before: a server makes them elsewhere."""
    each = a_second // BATCHES_A_SECOND
    return [list(entries(each, ENTRIES + place * each, live=True)) for place in range(seconds * BATCHES_A_SECOND)]


async def feed(transcripts: list[Transcript], added: list[list[LogEntry]]) -> None:
    """Add batches to each, spread over the time."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for place, batch in enumerate(added):
        await asyncio.sleep(max(0.0, began + place / BATCHES_A_SECOND - loop.time()))
        for transcript in transcripts:
            transcript.apply(batch)


async def measure(count: int) -> dict[str, float]:
    """Every measurement by its name in `TARGETS`."""
    found: dict[str, float] = {}
    transcript, batch = Transcript(), []
    began = process_time()
    for one in entries(count):
        batch.append(one)
        if len(batch) == BATCH:
            transcript.apply(batch)
            batch = []
    transcript.apply(batch)
    print(f"{count:,} entries are {len(transcript):,} items; made and reduced in {process_time() - began:.1f} s")
    collector = freeze_collector()
    page = TranscriptPage()
    page.resize(1000, 800)
    began = process_time()
    page.show_run(transcript)
    page.show()
    QApplication.processEvents()
    page.view.viewport().repaint()
    found["open"] = (process_time() - began) * 1000
    for move, number in (("wheel", 400), ("page", 200), ("jump", 200)):
        found[move] = percentile(frames(page, number, move), 0.99)
    page.view.follow()
    heart, added = Heart(), batches(APPENDED_A_SECOND, SECONDS)
    heart.start()
    await feed([transcript], added)
    gaps = heart.stop()
    found["append"] = max(gaps)
    print(f"while it grew: gaps p50 {percentile(gaps, 0.5):.1f}, p99 {percentile(gaps, 0.99):.1f} ms")
    found["layouts"] = float(len(page.view.items._layouts))
    pool, background = await followed(BACKGROUND)
    page.show_run(background[0])
    page.hide()
    added = batches(BACKGROUND_A_SECOND, SECONDS)
    heart.start()
    await feed(background, added)
    found["background"] = percentile(heart.stop(), 0.99)
    pool.start(None)
    collector.stop()
    print(f"largest resident size {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    page.deleteLater()
    return found


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main() -> None:
    """Measure, and say how it stands."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    asked = parser.parse_args()
    app = QApplication([])
    apply_theme(app, "light", 1.0)
    with asyncio.Runner(loop_factory=lambda: Loop(app)) as runner:
        found = runner.run(measure(asked.entries))
    for name, (target, words) in TARGETS.items():
        verdict = "met" if found[name] <= target else "missed"
        print(f"{name:11} {found[name]:8.1f} {words}; target {target:.0f}: {verdict}")


if __name__ == "__main__":
    main()
