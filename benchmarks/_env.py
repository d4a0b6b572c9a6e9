"""Environments for the peers that a benchmark compares Burrow with, so that theirs never mix with ours."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def peer_python(name: str, requirements: list[str]) -> Path:
    """The Python of `build/bench-{name}`, made with exactly these pinned requirements on first use.

    Raises `subprocess.CalledProcessError` when they cannot be installed; the next call starts afresh.
    """
    folder = ROOT / "build" / f"bench-{name}"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = folder / "burrow-stamp"
    wanted = hashlib.sha256("\n".join([sys.version, *sorted(requirements)]).encode()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return python
    venv.create(folder, clear=True, with_pip=True)
    command = [str(python), "-I", "-m", "pip", "install", "-qq", "--disable-pip-version-check", *requirements]
    subprocess.run(command, check=True)
    stamp.write_text(wanted, encoding="ascii")
    return python
