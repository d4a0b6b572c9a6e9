"""How steady the window stays while a dead token is healed under 1,000 requests: gaps of a 5 ms heartbeat on its loop.

The application's own loop with PySide6's import hook undone and the collector on the Qt thread; its session, `Fetcher`
with its gate, private file, journal and activity record, durable as in the application; a server process that rotates
in place, without grace. Every round has three parts in turn: the idle loop for a second, 1,000 requests at once with a
living token, and 1,000 at once just after it died. What the idle loop shows is the machine's; `work` is the most that
the loop's thread itself did within one gap, by its processor time, which other programs do not lengthen.

The counts of each heal decide the exit code; times are printed as met or missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["QT_API"] = "pyside6"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _control import Control, rotating_server
from _signed_in import PATH, Rig, application

from app.core.diagnostics.activity import Activity
from app.core.fetcher import IN_FLIGHT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.core.fetcher import Fetcher

AT_ONCE = 1000
WARM_UP = 12
# A grant that servers refuse may be renewed ten times a minute.
ROUNDS = 6
IDLE_SECONDS = 1.0
BEAT_MS = 5
FRAME_MS = 16.0
TARGET_P99_MS = 16.0
TARGET_MAX_MS = 50.0
PARTS = ("idle", "valid token", "dead token")


@dataclass
class Part:
    """What one kind of load showed over all rounds, in ms."""

    gaps: list[list[float]] = field(default_factory=list)
    work: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def line(self) -> tuple[float, float, float]:
        """The longest gap, the 99th percentile, and the share of gaps that cost a frame."""
        gaps = sorted(gap for one in self.gaps for gap in one)
        late = sum(gap > FRAME_MS for gap in gaps) / len(gaps)
        return gaps[-1], percentile(gaps, 0.99), late


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Heart:
    """Beats while somebody works."""

    def __init__(self) -> None:
        from PySide6.QtCore import Qt, QTimer

        self._gaps: list[float] = []
        self._last = self._worked = self._most = 0.0
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self._beat)

    async def during(self, part: Part, work: Callable[[], Awaitable[object]]) -> None:
        """Note in `part` the gaps while `work` runs, the one that it ends in too."""
        self._gaps, self._most = [], 0.0
        self._timer.start()
        began = self._last = time.perf_counter()
        self._worked = time.thread_time()
        await work()
        part.seconds.append(time.perf_counter() - began)
        self._beat()
        self._timer.stop()
        part.gaps.append(self._gaps)
        part.work.append(self._most * 1000)

    def _beat(self) -> None:
        now, worked = time.perf_counter(), time.thread_time()
        self._gaps.append((now - self._last) * 1000)
        self._most = max(self._most, worked - self._worked)
        self._last, self._worked = now, worked


def record(rig: Rig, fetcher: Fetcher) -> None:
    """Keep an activity record as the application does."""
    activity = Activity(rig.storage.activity)
    fetcher.finished.subscribe(activity.record_request)
    rig.credential.happened.subscribe(partial(activity.record_auth, rig.credential.key, rig.host.origin))


async def measure(control: Control, folder: Path, rounds: int) -> tuple[dict[str, Part], bool]:
    """All rounds; whether every heal was one refresh and no failure."""
    from app.ui.loop import freeze_collector

    parts = {name: Part() for name in PARTS}
    as_due = True
    async with application(control.origin, folder) as rig:
        pair = control.new_grant()
        await rig.sign_in(pair)
        fetcher = rig.fetcher(IN_FLIGHT)
        record(rig, fetcher)

        async def load() -> None:
            await asyncio.gather(*(fetcher.get(PATH) for _ in range(AT_ONCE)))

        await asyncio.gather(*(fetcher.get(PATH) for _ in range(WARM_UP)))
        collector = freeze_collector()
        heart = Heart()
        for _ in range(rounds):
            await heart.during(parts["idle"], lambda: asyncio.sleep(IDLE_SECONDS))
            await heart.during(parts["valid token"], load)
            before = control.counters(pair.number)
            control.kill(pair.number)
            await heart.during(parts["dead token"], load)
            after = control.counters(pair.number)
            counts = (after.accepted - before.accepted, after.rejected - before.rejected, after.revoked)
            as_due = as_due and counts == (1, 0, False)
        collector.stop()
    return parts, as_due


def report(parts: dict[str, Part], as_due: bool) -> None:
    print(f"gaps between heartbeats of {BEAT_MS} ms, {AT_ONCE} requests at once, {len(parts['idle'].gaps)} rounds")
    print(f"{'':12}{'p50':>7}{'p99':>7}{'max':>7}{'work':>7}{'>16 ms':>8}{'req/s':>7}  rounds (p99/max)")
    for name, part in parts.items():
        longest, p99, late = part.line()
        middle = percentile(sorted(gap for one in part.gaps for gap in one), 0.5)
        rate = "-" if name == "idle" else f"{AT_ONCE * len(part.seconds) / sum(part.seconds):.0f}"
        each = " ".join(f"{percentile(sorted(one), 0.99):.1f}/{max(one):.1f}" for one in part.gaps)
        print(f"{name:12}{middle:7.1f}{p99:7.1f}{longest:7.1f}{max(part.work):7.1f}{late:8.1%}{rate:>7}  {each}")
    longest, p99, _ = parts["dead token"].line()
    values = (
        ("longest gap", longest, TARGET_MAX_MS),
        ("most work within a gap", max(parts["dead token"].work), TARGET_MAX_MS),
        ("99th percentile", p99, TARGET_P99_MS),
    )
    for words, value, target in values:
        verdict = "met" if value <= target else "missed"
        print(f"{words} during a heal {value:.1f} ms; target {target:.0f} ms: {verdict}")
    print(f"1 refresh accepted, 0 rejected, 0 requests failed at each heal: {'met' if as_due else 'MISSED'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="ten at most: more renewals a minute are braked")
    options = parser.parse_args()
    from app.ui.imports import unhook  # isort: skip - before PySide6
    from PySide6.QtWidgets import QApplication

    unhook()
    from app.ui.loop import Loop

    app = QApplication([])
    with (
        rotating_server() as control,
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=lambda: Loop(app)) as runner,
    ):
        parts, as_due = runner.run(measure(control, Path(folder), min(max(options.rounds, 1), 10)))
    report(parts, as_due)
    return 0 if as_due else 1


if __name__ == "__main__":
    raise SystemExit(main())
