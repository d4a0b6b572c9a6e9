"""What the frozen executable runs: the same entry point as `burrow` and `python -m app`."""

from __future__ import annotations

import os
import sys

# Linux's name of the file that this process runs, whatever its path leads to meanwhile (proc_pid_exe(5)).
RUNNING_FILE = "/proc/self/exe"


def keep_modules() -> None:
    """Read modules from the running file: after an upgrade they are elsewhere in what is at its path, or it is gone."""
    importers = sys.modules.get("pyimod02_importers")
    if importers is not None and os.access(RUNNING_FILE, os.R_OK):
        importers.pyz_archive._filename = RUNNING_FILE


if __name__ == "__main__":
    keep_modules()
    from app.__main__ import main

    raise SystemExit(main())
