"""Where tests put their pictures of windows."""

from __future__ import annotations

import os
from pathlib import Path


def pictures(folder: Path) -> Path:
    """Where pictures go: the documents' folder when a person asks for new ones, else the test's own."""
    chosen = Path(os.environ.get("BURROW_PICTURES") or folder).absolute()
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen
