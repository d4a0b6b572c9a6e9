"""The window of Burrow as it is, and beside it a heartbeat of its loop that can be asked for.

`python benchmarks/_proxy_window.py ARGUMENTS` opens the window with these arguments of `burrow`. A line `start` on the
standard input starts the heartbeat; `stop` ends it and prints the gaps between its beats in milliseconds as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

BEAT_MS = 5


def watch() -> None:
    """Answers on a thread of its own; the heart beats on Qt's."""
    from PySide6.QtCore import QCoreApplication, QObject, Qt, QTimer, Signal, Slot

    class Heart(QObject):
        wanted = Signal(bool)

        def __init__(self) -> None:
            super().__init__()
            self.gaps: list[float] = []
            self.last = 0.0
            self.stopped = threading.Event()
            self.timer: QTimer | None = None
            self.wanted.connect(self.switch)

        @Slot(bool)
        def switch(self, on: bool) -> None:
            if self.timer is None:
                self.timer = QTimer(self, timerType=Qt.TimerType.PreciseTimer, interval=BEAT_MS)
                self.timer.timeout.connect(self.beat)
            if on:
                self.gaps.clear()
                self.last = perf_counter()
                self.timer.start()
            else:
                self.timer.stop()
                self.stopped.set()

        @Slot()
        def beat(self) -> None:
            now = perf_counter()
            self.gaps.append((now - self.last) * 1000)
            self.last = now

    heart = None
    for line in sys.stdin:
        application = QCoreApplication.instance()
        assert application is not None
        if heart is None:
            heart = Heart()
            heart.moveToThread(application.thread())
        heart.stopped.clear()
        heart.wanted.emit(line.strip() == "start")
        if line.strip() == "stop":
            heart.stopped.wait()
            print(json.dumps(heart.gaps), flush=True)


if __name__ == "__main__":
    from app.ui.imports import unhook  # isort: skip - before PySide6
    import PySide6.QtCore  # noqa: F401

    unhook()
    threading.Thread(target=watch, daemon=True).start()
    from app.main import main

    raise SystemExit(main(sys.argv[1:]))
