"""What the processes of one machine share about one grant besides the vault: three small files without secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core.auth.grant.lock import Claim, ProcessLock
from app.core.auth.grant.stamp import Stamp

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Shared:
    """`lock` lets one process renew at a time, `stamp` tells of changes, `claim` of a renewal that is not stored."""

    lock: ProcessLock
    stamp: Stamp
    claim: Claim

    @staticmethod
    def at(folder: Path, name: str) -> Shared:
        """The files called `name` in `folder`."""
        return Shared(
            ProcessLock(folder / f"{name}.lock"), Stamp(folder / f"{name}.stamp"), Claim(folder / f"{name}.unstored")
        )
