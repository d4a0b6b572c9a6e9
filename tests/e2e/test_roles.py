"""What assistive technology is told of a window that was on the screen before its roles were installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.accessible import Accessibility
from tests.e2e.desktop import Desktop
from tests.secret_service import SecretService

pytestmark = pytest.mark.x11

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QPushButton, QVBoxLayout, QWidget
from app.ui.theme import apply_theme
from app.ui.widgets.accessible_roles import install_roles
from app.ui.widgets.text import Text
app = QApplication([])
apply_theme(app, "light")
window = QWidget()
window.setWindowTitle("Fix checkout crash")
layout = QVBoxLayout(window)
layout.addWidget(Text("Plain words"))
window.show()
def later():
    install_roles(window)
    layout.addWidget(Text("Fix checkout crash", "title"))
    button = QPushButton("Leave")
    button.clicked.connect(app.quit)
    layout.addWidget(button)
QTimer.singleShot(1500, later)
app.exec()
"""


def test_the_window_is_a_frame_and_its_title_a_heading() -> None:
    with (
        Desktop() as desktop,
        SecretService() as service,
        Accessibility(desktop.env | service.variables) as eyes,
        subprocess.Popen([sys.executable, "-c", PROGRAM], env=eyes.env | {"PYTHONPATH": str(ROOT)}) as program,
    ):
        try:
            eyes.find("Plain words")
            assert eyes.find("Fix checkout crash", "heading")
            assert eyes.find("Fix checkout crash", "frame")
            eyes.find("Leave", "push button").press()
            assert program.wait(20) == 0
        finally:
            program.kill()
