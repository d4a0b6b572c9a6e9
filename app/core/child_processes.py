"""What starting a process takes on every platform. Standard library only."""

from __future__ import annotations

import subprocess

NO_CONSOLE: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)
"""As `creationflags`: a command opens no console window on Windows."""
