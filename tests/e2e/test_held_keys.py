"""A key that a person holds is one press and repeats, as the real X server reports them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.desktop import Desktop

pytestmark = [pytest.mark.serial, pytest.mark.x11]

ROOT = Path(__file__).resolve().parents[2]
PRESSES = """
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QApplication, QWidget
from app.ui.held_keys import recognise_held_keys

class Keys(QWidget):
    def keyPressEvent(self, event):
        if event.key() == Qt.Key.Key_Escape:
            app.quit()
        print("repeat" if event.isAutoRepeat() else "press", flush=True)

app = QApplication([])
held = recognise_held_keys(app)
window = Keys()
window.setWindowTitle("Keys")
once = QShortcut(QKeySequence("Ctrl+D"), window)
once.setAutoRepeat(False)
once.activated.connect(lambda: print("shortcut", flush=True))
window.show()
app.exec()
"""


def hold(desktop: Desktop, *keys: str) -> None:
    """Long enough for some repeats: they begin after 660 ms, and come every 40 ms."""
    for key in keys:
        desktop.xdotool("keydown", key)
    time.sleep(1.2)
    for key in reversed(keys):
        desktop.xdotool("keyup", key)


def test_a_held_key_is_one_press_and_runs_a_shortcut_once() -> None:
    with (
        Desktop() as desktop,
        subprocess.Popen(
            [sys.executable, "-c", PRESSES], cwd=ROOT, env=desktop.env, stdout=subprocess.PIPE, text=True
        ) as program,
    ):
        try:
            window = desktop.find_window("Keys")
            desktop.xdotool("windowactivate", "--sync", window)
            hold(desktop, "Delete")
            desktop.xdotool("key", "Tab")
            hold(desktop, "ctrl", "d")
            desktop.xdotool("key", "Escape")
            found = program.communicate(timeout=20)[0].split()
        finally:
            program.kill()
    delete, _, rest = " ".join(found).partition(" press")
    assert delete.split() == ["press"] + ["repeat"] * (len(delete.split()) - 1)
    assert len(delete.split()) > 3
    assert rest.count("shortcut") == 1
