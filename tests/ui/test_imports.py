"""PySide6's hook on imports is taken off, and nothing that Burrow does needs it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import builtins
plain = builtins.__import__
from app.ui.imports import unhook
from PySide6.QtCore import QObject
assert builtins.__import__ is not plain, "PySide6 no longer hooks imports: app/ui/imports.py can go"
unhook()
assert builtins.__import__ is plain
from PySide6.QtGui import QColor
assert QColor("red").red() == 255
"""


def test_the_hook_is_there_and_goes_and_qt_works_without_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
