"""Imports: PySide6's hook on them is taken off, the first paint waits for no heavy one, and opening a run for none."""

from __future__ import annotations

import asyncio
import json
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


OPENED = """
import asyncio, json, sys
from pathlib import Path
from PySide6.QtWidgets import QApplication
from app.core.services import Services
from app.main import preloading
from app.ui.theme import apply_theme
# What is loaded with the list of tasks and the details of one.
import app.ui.tasks.attached, app.ui.tasks.place, app.ui.tasks.run_facts, app.ui.tasks.run_transcripts

def ours():
    return {name for name in sys.modules if name.startswith("app.")}

qapp = QApplication([])
apply_theme(qapp, "light", 1.0)
pieces, plain = [], preloading.import_module
def counted(name):
    before = ours()
    plain(name)
    pieces.append(len(ours() - before))
preloading.import_module = counted
asyncio.run(preloading.preload())
loaded = ours()

from app.core.runs.conversations import open_conversation
from app.core.runs.transcript import Transcript
from app.ui.tasks.local_conversation import LocalRunView
from app.ui.transcript.driver import ConversationDriver
from app.ui.transcript.page import TranscriptPage
from app.ui.transcript.reply_draft import ReplyDraft
services = Services(Path(sys.argv[1]))
services.local_runs
page = TranscriptPage()
page.show_run(Transcript(folder=services.folder))
page.show()
qapp.processEvents()
print(json.dumps([pieces[len(preloading.IN_WORKER):], sorted(ours() - loaded)]), flush=True)
import os
os._exit(0)
"""


def test_a_run_is_opened_with_what_was_loaded_before_in_small_pieces(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    pieces, later = json.loads(done.stdout)
    assert later == []
    assert sum(pieces) > 30
    assert max(pieces) <= 10, f"a name before it in IN_LOOP would load some of them: {pieces}"
