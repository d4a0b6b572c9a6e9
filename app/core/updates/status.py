"""How an update stands, and how an installation is updated that has no updates of its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from app.core.updates.source import WhyOff

if TYPE_CHECKING:
    from app.core.errors import BurrowError
    from app.core.updates.release import Release


class UpdateState(Enum):
    """The values are the names in the command line's data."""

    OFF = "off"
    IDLE = "idle"
    CHECKING = "checking"
    CURRENT = "current"
    AVAILABLE = "available"
    DOWNLOADING = "downloading"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """`release` is the one that is offered, `received` how many bytes of it there are.

    `trouble` is the last failure; the state is then the one before it. `why_off` goes with the state `OFF`. `checked`
    is when the last look was, in Unix seconds, 0 for never. `skipped`: the person does not want to hear of this one.
    """

    state: UpdateState
    release: Release | None = None
    received: int = 0
    trouble: BurrowError | None = None
    why_off: WhyOff | None = None
    checked: float = 0.0
    skipped: bool = False


HOW_ELSE: dict[WhyOff | None, str] = {
    WhyOff.MANAGED: "Update it with the package manager that installed it.",
    WhyOff.SOURCE: "Update the checkout or the Python package that it runs from.",
    WhyOff.FOLDER: "Get the new version from where you got this one.",
    WhyOff.NO_SOURCE: "This build names no place for updates. Get the new version from where you got this one.",
    WhyOff.BROKEN_SOURCE: "What this build says of updates cannot be read. Install it again.",
}
