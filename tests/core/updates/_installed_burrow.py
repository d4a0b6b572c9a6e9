"""A Burrow of any version, installed as an AppImage: `_installed_burrow.py VERSION FOLDER ARGUMENTS…`.

Only what a package decides is put in its place: the version, that it is frozen, and where its executable is. With
`BURROW_TEST_ACTS` the window is used as a person would: an offered update is downloaded and restarted into, and what
the bar said is appended to that file. The window of the last version quits once it has said so.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import app

VERSION, FOLDER = sys.argv[1], Path(sys.argv[2])
app.__version__ = VERSION


def act(said: Path) -> None:
    from PySide6.QtCore import QTimer

    from app.ui.shell.update_care import UpdateCare
    from app.ui.shell.window import MainWindow

    follow = MainWindow.follow_updates

    def followed(window: MainWindow, *, looks: bool = True) -> None:
        follow(window, looks=looks)
        assert window.updates is not None
        window._look = QTimer(window, interval=20)
        window._look.timeout.connect(lambda: look(window, window.updates))
        window._look.start()
        services = window._services
        window._bridge.spawn(window, services.updates.check(), failed=lambda trouble: note(trouble.cause))

    def note(words: str) -> None:
        with said.open("a", encoding="utf-8") as file:
            file.write(f"{VERSION}: {words}\n")

    heard: list[str] = []

    def look(window: MainWindow, care: UpdateCare | None) -> None:
        assert care is not None
        if care.bar.isHidden():
            return
        words = care.bar.text()
        buttons = {button.text(): button for button in care.bar._shown_buttons()}
        if words not in heard and "%" not in words:
            heard.append(words)
            note(words)
        if "Close" in buttons:
            window._look.stop()
            window.leave()
        elif "Download" in buttons:
            buttons["Download"].click()
        elif "Restart now" in buttons:
            window._look.stop()
            buttons["Restart now"].click()

    MainWindow.follow_updates = followed  # type: ignore[method-assign]


if acts := os.environ.get("BURROW_TEST_ACTS"):
    act(Path(acts))
sys.frozen = True  # type: ignore[attr-defined]
sys.executable = str(FOLDER / "burrow")
sys.argv = ["burrow", *sys.argv[3:]]
from app.__main__ import main  # noqa: E402

raise SystemExit(main())
