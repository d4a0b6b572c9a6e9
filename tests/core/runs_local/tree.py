"""An agent that is a tree of processes, as agents are, and which of them are there."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from app.core.runs.local.agents import LocalAgent
from tests.core.runs_local.running import SCRIPT

# A launcher, the agent itself, and what its tools started in a session of their own.
LAUNCHER = """#!/bin/sh
{python} -I -S -c 'import os, time; os.setsid(); time.sleep(600)' {folder}/grandchild &
exec {python} -I -S {folder}/agent.py resume=yes
"""


def agent_in(folder: Path) -> LocalAgent:
    """The scripted agent, made of files of this new folder."""
    folder.mkdir()
    shutil.copy(SCRIPT, folder / "agent.py")
    launcher = folder / "launcher"
    launcher.write_text(LAUNCHER.format(python=sys.executable, folder=folder))
    launcher.chmod(0o755)
    return LocalAgent("", "Scripted", (str(launcher),))


def at_work(folder: Path) -> set[str]:
    """Which parts of an agent's process tree are there."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            found |= {name for name in ("agent.py", "grandchild") if os.fsencode(folder / name) in words}
    return found
