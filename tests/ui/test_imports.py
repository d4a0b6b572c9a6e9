"""Imports: PySide6's hook on them is taken off, and the first paint waits for no heavy one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.storage import Storage

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


PAINTED = """
import sys
from app.main import main
from app.ui import painted

class Watched(painted.FirstPaint):
    def wait(self):
        super().wait()
        heavy = ("asyncio", "httpx", "aiohttp", "keyring", "mcp", "pydantic")
        print([name for name in heavy if name in sys.modules], flush=True)
        raise SystemExit(0)

painted.FirstPaint = Watched
main(["--offscreen", "--data", sys.argv[1]])
"""


@pytest.mark.parametrize("remembered", ["", "us"])
def test_nothing_heavy_is_loaded_before_the_window_is_painted(tmp_path: Path, remembered: str) -> None:
    if remembered:
        storage = Storage.open(tmp_path)
        asyncio.run(storage.settings.set("host", remembered))
        asyncio.run(storage.close())
    command = [sys.executable, "-c", PAINTED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
