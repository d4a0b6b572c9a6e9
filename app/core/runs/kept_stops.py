"""KeptStops: which turns of a task's runs the user stopped, kept on this machine, because the log may not say it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app.core.errors import StorageTrouble

if TYPE_CHECKING:
    from app.core.runs.transcript import Transcript
    from app.core.storage import Scope
    from app.core.storage.stops import Stop, Stops

log = logging.getLogger(__name__)


class KeptStops:
    """Those of one task. Nothing raises: a turn is stopped and a run shown also where this cannot be stored or read."""

    def __init__(self, stops: Stops, scope: Scope, task: str) -> None:
        self._stops, self._scope, self._task = stops, scope, task

    async def tell(self, transcript: Transcript) -> None:
        """Tell a transcript of them, before it reads the log."""
        try:
            transcript.know_stops(await self._stops.list(self._scope, self._task))
        except StorageTrouble as trouble:
            log.warning("stopped turns cannot be read: %s", trouble.cause)

    async def keep(self, stop: Stop) -> None:
        """Store a stop, or how many items its turn had after all."""
        try:
            await self._stops.keep(self._scope, self._task, stop)
        except StorageTrouble as trouble:
            log.warning("a stopped turn cannot be stored: %s", trouble.cause)

    async def forget(self, turn: str) -> None:
        """The agent was not told, or the turn had ended by itself."""
        try:
            await self._stops.forget(self._scope, self._task, turn)
        except StorageTrouble as trouble:
            log.warning("a turn that was not stopped cannot be forgotten: %s", trouble.cause)
