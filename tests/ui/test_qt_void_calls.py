"""PySide6 6.12.0 drops a reference to None in every void call and aborts on Python < 3.12."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
from PySide6.QtWidgets import QApplication, QLabel
app = QApplication([])
label = QLabel()
for number in range(20_000):
    label.setText("text")
"""


def test_twenty_thousand_void_calls_do_not_end_the_process() -> None:
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
