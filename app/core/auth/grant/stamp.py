"""Stamp: tells that another process changed the stored grant, without asking the keyring (faults rows 15 and 65).

A keyring takes 16 ms to answer and may ask the person each time, so it is read again only after somebody wrote to it. A
writer moves the stamp before it changes the grant and once more after it: one that dies between leaves the others with
a reason to look, never without one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from app.core.errors import StorageTrouble

if TYPE_CHECKING:
    from pathlib import Path

NEVER = ""


class Stamp:
    """A small file beside the lock of one grant. Looking at it takes some 20 us and never waits."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        """What stands on it now; `NEVER` when no grant was ever stored here. A torn text only differs from others."""
        try:
            return self._path.read_text(encoding="ascii", errors="replace")
        except OSError:
            return NEVER

    def move(self) -> str:
        """Make it differ from all it was before. Raises `StorageTrouble`."""
        text = os.urandom(16).hex()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(text, encoding="ascii")
        except OSError as failure:
            raise StorageTrouble(f"{self._path} cannot be written: {failure}.") from None
        return text
