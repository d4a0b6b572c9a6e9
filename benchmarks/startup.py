"""From process start to a painted window and to a usable cached task list, and the memory that takes.

Each round starts fresh processes in turn under Xvfb: a bare PySide6 widget window, and Burrow connected to a workspace
with 1,000 cached tasks. `usable` is when all cached rows are in the list and it was painted with them. Memory is the
resident set two seconds after that, before MCP is first used. Trust the ratio to the bare window: absolute times are
the machine's. The first round writes bytecode and is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

TASKS = 1_000
ROUNDS = 7
TARGETS = {"painted": 300.0, "usable": 500.0, "memory": 120.0}

BARE = """
import sys, time, json, os
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QWidget
class Window(QWidget):
    def paintEvent(self, event):
        QTimer.singleShot(0, done)
def done():
    print(json.dumps({"painted": time.time(), "painted_cpu": time.process_time() * 1000}), flush=True)
    os._exit(0)
app = QApplication([])
window = Window()
window.resize(1180, 760)
window.show()
app.exec()
"""

CHILD = """
import json, os, sys, time
from app.main import main
from app.ui.imports import unhook
import app.ui.painted as painted
unhook()
def say(**what):
    print(json.dumps(what), flush=True)
def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))
class Watched(painted.FirstPaint):
    def wait(self):
        super().wait()
        heavy = ("asyncio", "httpx", "aiohttp", "keyring", "mcp", "pydantic")
        moment = {"painted": time.time(), "painted_cpu": time.process_time() * 1000}
        say(**moment, loaded_before_paint=[name for name in heavy if name in sys.modules])
        from PySide6.QtCore import QTimer
        self.timer = QTimer(self, interval=2)
        self.timer.timeout.connect(self.look)
        self.timer.start()
    def look(self):
        from PySide6.QtWidgets import QTableView
        models = [view.model() for view in self._window.findChildren(QTableView)]
        rows = max((model.rowCount() for model in models if model), default=0)
        if rows >= ROWS:
            self.timer.stop()
            self._window.repaint()
            say(usable=time.time(), usable_cpu=time.process_time() * 1000)
            from PySide6.QtCore import QTimer
            QTimer.singleShot(2000, self.end)
    def end(self):
        heavy = ("httpx", "httpx2", "keyring", "mcp", "pydantic")
        say(memory=resident(), loaded_at_end=[name for name in heavy if name in sys.modules])
        os._exit(0)
painted.FirstPaint = Watched
main(sys.argv[1:])
"""


def measured(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Milliseconds since the process was started for every moment that it told."""
    started = time.time()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line)
    for moment in ("painted", "usable"):
        if moment in found:
            found[moment] = (found[moment] - started) * 1000
    return found


async def prepare(folder: Path, url: str, secret: str) -> None:
    """Sign in with the workspace's personal key, fill it with tasks, and keep them as the application would."""
    import msgspec

    from app.core.auth.vault.base import StoreKind
    from app.core.lab import Lab
    from app.core.posthog.types import NewTask, TaskQuery
    from app.core.posthog.wire import encode_tasks
    from app.core.services import Services
    from app.ui.tasks.stored import StoredList

    services = Services(folder, store=StoreKind.FILE)
    backend = await services.connect(await services.resolve(url))
    await backend.credential.choose_store("file")
    key = (await Lab(url, secret).state())["personal_api_key"]
    await backend.sign_in_with_key(str(key))
    await backend.ready()
    page = await backend.tasks.list(TaskQuery(), limit=1)
    missing = range(TASKS - page.count)
    await asyncio.gather(
        *(
            backend.tasks.create(NewTask(description=f"Look into case {n} " * 8, title=f"Case {n}", repository="a/b"))
            for n in missing
        )
    )
    page = await backend.tasks.list(TaskQuery(), limit=100)
    tasks = list(page.items)
    while page.next:
        page = await backend.tasks.more(page.next)
        tasks.extend(page.items)
    assert backend.scope is not None
    assert backend.project is not None
    kept = msgspec.json.encode(StoredList(msgspec.Raw(encode_tasks(tasks)), len(tasks), None, ()))
    await services.storage.cache.put(backend.scope, f"tasks.{backend.project.id}", kept)
    await services.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    from tests.e2e.desktop import Desktop

    with tempfile.TemporaryDirectory() as name, Desktop() as desktop:
        environment = {**os.environ, **desktop.env, "PYTHONPATH": str(ROOT), "BURROW_DATA": f"{name}/data"}
        for unwanted in ("QT_QPA_PLATFORM", "PYTHONDONTWRITEBYTECODE"):
            environment.pop(unwanted, None)
        workspace = subprocess.Popen(
            [sys.executable, "-m", "app", "workspace", "--watch-stdin", "--data", f"{name}/workspace"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert workspace.stdout is not None
        ready = json.loads(workspace.stdout.readline())
        asyncio.run(prepare(Path(name) / "data", ready["url"], ready["secret"]))
        child = CHILD.replace("ROWS", str(TASKS))
        arms = {
            "bare window": [sys.executable, "-c", BARE],
            "burrow": [sys.executable, "-c", child],
        }
        results: dict[str, list[dict[str, Any]]] = {arm: [] for arm in arms}
        for turn in range(options.rounds + 1):
            for arm, command in arms.items():
                found = measured(command, environment)
                if turn:
                    results[arm].append(found)
        assert workspace.stdin is not None
        workspace.stdin.close()
        workspace.wait(10)
        workspace.stdout.close()
    report(results)
    return 0


def report(results: dict[str, list[dict[str, Any]]]) -> None:
    bare = statistics.median(found["painted"] for found in results["bare window"])
    print(f"bare window painted   median {bare:6.0f} ms")
    for moment, target in TARGETS.items():
        values = [found[moment] for found in results["burrow"]]
        unit = "MB" if moment == "memory" else "ms"
        ratio = "" if moment == "memory" else f"  {statistics.median(values) / bare:4.2f} x the bare window"
        print(
            f"burrow {moment:<14} median {statistics.median(values):6.0f} {unit}  min {min(values):.0f}"
            f"  max {max(values):.0f}  target {target:.0f} {unit}{ratio}"
        )
    print(
        f"imported before the first paint: {results['burrow'][-1]['loaded_before_paint'] or 'none of the heavy ones'}"
    )
    print(f"imported at the end: {results['burrow'][-1]['loaded_at_end']}")


if __name__ == "__main__":
    raise SystemExit(main())
