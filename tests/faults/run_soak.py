"""A long run of random faults: runs are followed and talked to in the window while everything in between breaks.

`python3 dev.py soak runs [MINUTES] [SEED]`. Ends with 1 as soon as the transcript of the window differs from the log of
the server, a message is lost or said twice, or somebody is asked to sign in. Every action is printed with its number.
The seed repeats what is done and in which order, not what the clock makes of it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["QT_API"] = "pyside6"
os.environ.pop("DBUS_SESSION_BUS_ADDRESS", None)

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication

from app.core.auth.status import CredentialState
from app.core.services import WORKSPACE_FOLDER, Services
from app.ui.bridge import Bridge
from app.ui.context import Context
from app.ui.loop import Loop
from app.ui.tasks.place import TasksPlace
from app.ui.theme import apply_theme
from app.ui.transcript import ask_card
from tests.faults.relay import Relay
from tests.faults.run_faults import Weather
from tests.faults.run_person import Opened, Person
from tests.faults.run_workspace import CarryingWorkspace
from tests.ui._tasks_fakes import FakeNavigator, settle, until

RUNS = 4
HEARTBEAT_SECONDS = 0.02
# Beyond this somebody who types would notice. It is reported, and no failure: the machine may be busy.
SLOW_SECONDS = 0.5


class Soak:
    """What is told and counted. `trouble` is what ended it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.number = 0
        self.asked = 0
        self.trouble: str | None = None
        # How late the loop was at most, and when, in seconds.
        self.late = self.late_at = 0.0
        self.bugs: list[str] = []
        self._began = monotonic()

    def say(self, words: str) -> None:
        sys.stdout.write(f"{words}\n")
        sys.stdout.flush()

    def tell(self, action: str, outcome: str) -> None:
        self.number += 1
        self.say(f"{self.number:5} {monotonic() - self._began:7.1f}  {action}: {outcome}")

    def found(self) -> str | None:
        """What is wrong, whoever did it."""
        if self.asked:
            return "somebody was asked to sign in"
        return f"a bug: {self.bugs[0]}" if self.bugs else self.trouble

    async def watch_loop(self) -> None:
        """Measure how late the loop is."""
        while True:
            before = monotonic()
            await asyncio.sleep(HEARTBEAT_SECONDS)
            late = monotonic() - before - HEARTBEAT_SECONDS
            if late > self.late:
                self.late, self.late_at = late, before - self._began


@asynccontextmanager
async def window(folder: Path, soak: Soak) -> AsyncIterator[tuple[TasksPlace, Services, Opened]]:
    """The Tasks place, signed in to the workspace that `folder` names."""
    services, bridge, owner = Services(folder), Bridge(), QObject()
    bridge.crashed.connect(lambda failure: soak.bugs.append(repr(failure)))
    opened = Opened(services, bridge, owner)
    navigator: Any = FakeNavigator()
    place = TasksPlace(Context(services, bridge, navigator), open_conversation=opened)
    place.resize(1000, 760)
    place.show()
    try:
        backend = await services.connect(await services.start_workspace())
        await backend.ready()

        def told(status: Any) -> None:
            soak.asked += status.state is CredentialState.NEEDS_SIGN_IN

        backend.credential.changed.subscribe(told)
        place.set_backend(backend)
        await until(lambda: place.controller.load.loaded, 20)
        await settle()
        yield place, services, opened
    finally:
        await place.flush()
        await bridge.close()
        await services.close()
        place.close()
        place.deleteLater()
        owner.deleteLater()
        await settle()


async def act(soak: Soak, person: Person, weather: Weather, seconds: float) -> None:
    """A person and the faults, each at their own pace, until the time is over or something is wrong."""
    until_then = monotonic() + seconds

    async def one(actor: Person | Weather) -> None:
        while monotonic() < until_then and soak.found() is None:
            action = actor.next()
            soak.tell(action, await actor.do(action))
            soak.trouble = person.trouble
            await asyncio.sleep(actor.pause())

    await asyncio.gather(one(person), one(weather))


async def run(minutes: float, seed: int) -> int:
    soak = Soak(seed)
    ask_card.ARM_MS = 0
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: soak.bugs.append(str(context.get("exception") or context)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace = CarryingWorkspace(folder / "server", RUNS)
        await workspace.start()
        relay = Relay(workspace.port)
        await relay.start()
        workspace.announce(folder / "burrow" / WORKSPACE_FOLDER, relay.origin)
        before = asyncio.all_tasks()
        beating = asyncio.create_task(soak.watch_loop(), name="heartbeat")
        try:
            async with window(folder / "burrow", soak) as (place, services, opened):
                soak.late = soak.late_at = 0.0
                weather = Weather(random.Random(f"{seed} weather"), workspace, relay)
                person = Person(random.Random(f"{seed} person"), place, services, opened, folder / "logs")
                half = minutes * 30
                await act(soak, person, weather, half)
                middle = memory()
                await act(soak, person, weather, half)
                if soak.found() is None:
                    await weather.clear_up()
                    soak.tell("everything works again", await person.finish(soak.say))
                    soak.trouble = person.trouble
                soak.trouble = soak.found()
                at_end = memory()
                tally = person.tally()
        finally:
            beating.cancel()
            await relay.close()
            await workspace.kill()
        await settle()
        left = {task for task in asyncio.all_tasks() - before if task is not beating and not task.done()}
        windows = [each for each in QApplication.topLevelWidgets() if not each.parent() and each.isVisible()]
        if soak.trouble is None and left:
            soak.trouble = f"tasks are left: {[task.get_name() for task in left]}"
        if soak.trouble is None and windows:
            soak.trouble = f"windows are left: {windows}"
    slow = f" at {soak.late_at:.1f} s: too long" if soak.late > SLOW_SECONDS else ""
    soak.say(f"{soak.number} actions, {tally}; seed {seed}")
    soak.say(f"loop at most {soak.late * 1000:.0f} ms late{slow}; {middle} MB in the middle, {at_end} MB at the end")
    soak.say(soak.trouble or "the same in the window and in the log")
    return 0 if soak.trouble is None else 1


def memory() -> int:
    """What this process has in memory, in MB; 0 where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return 0
    found = next((line for line in status.splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
    return int(found.split()[1]) // 1024


def main(minutes: float, seed: int) -> int:
    application = QApplication.instance() or QApplication(["run_soak"])
    assert isinstance(application, QApplication)
    apply_theme(application, "light", 1.0)
    with asyncio.Runner(loop_factory=lambda: Loop(application)) as runner:
        return runner.run(run(minutes, seed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", type=float, nargs="?", default=30.0)
    parser.add_argument("seed", type=int, nargs="?", default=random.SystemRandom().randrange(1_000_000))
    options = parser.parse_args()
    raise SystemExit(main(options.minutes, options.seed))
