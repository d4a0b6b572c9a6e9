"""DesktopNotifications: shows notifications one after the other, takes them back, and says what was pressed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from app.core.background import BackgroundTasks
from app.core.desktop.notification import Acted, DesktopNotification
from app.core.desktop.notification_services import PortalNotifications, ServerNotifications
from app.core.desktop.session_bus import BusTrouble, SessionBus
from app.core.events import Event

if TYPE_CHECKING:
    from app.core.desktop.notification_services import NotificationService

log = logging.getLogger(__name__)

END_SECONDS = 1.0


async def is_shown_anywhere() -> bool:
    """Whether a service of this desktop shows notifications."""
    try:
        async with SessionBus() as bus:
            return bool(await PortalNotifications.find(bus) or await ServerNotifications.find(bus))
    except BusTrouble:
        return False


class DesktopNotifications:
    """`show` and `withdraw` return at once; `run`, one coroutine of the owner, does the work in their order.

    `acted` emits what was pressed. `failed` emits a notification that no service shows: the owner has another way, or
    none. Both are emitted on the loop of `run`.
    """

    def __init__(self) -> None:
        self.acted: Event[Acted] = Event()
        self.failed: Event[DesktopNotification] = Event()
        self._wanted: asyncio.Queue[DesktopNotification | str] = asyncio.Queue()
        self._shown: dict[str, None] = {}

    def show(self, notification: DesktopNotification) -> None:
        """Show it, in place of the one with the same key."""
        self._wanted.put_nowait(notification)

    def withdraw(self, key: str) -> None:
        """Take back what was shown under this key. Nothing happens where there is none."""
        self._wanted.put_nowait(key)

    async def run(self) -> None:
        """Work until cancelled, and take back then what is still shown: nobody would answer to its buttons."""
        while True:
            first = await self._wanted.get()
            if isinstance(first, str):
                # Nothing is shown.
                continue
            try:
                async with SessionBus() as bus:
                    await self._serve(bus, first)
            except BusTrouble as trouble:
                log.info("notifications: %s", trouble)
                self.failed.emit(first)
                self._shown.clear()

    async def _serve(self, bus: SessionBus, first: DesktopNotification) -> None:
        """Show `first` and what follows. Returns when the service no longer answers; raises `BusTrouble` without."""
        service = await PortalNotifications.find(bus) or await ServerNotifications.find(bus)
        if service is None:
            raise BusTrouble("no service shows notifications")
        reading = BackgroundTasks()
        reading.start(self._read(bus, service))
        try:
            await service.show(first)
            self._shown[first.key] = None
            while True:
                wanted = await self._wanted.get()
                if not await self._do(service, wanted):
                    # Another service may have taken its place: found anew, with the next one.
                    self._shown.clear()
                    return
        finally:
            await reading.close()
            await self._end(service)

    async def _do(self, service: NotificationService, wanted: DesktopNotification | str) -> bool:
        """Show or take back. False when the service does not answer; what was to be shown is queued again."""
        try:
            if isinstance(wanted, str):
                if wanted in self._shown:
                    del self._shown[wanted]
                    await service.withdraw(wanted)
            else:
                await service.show(wanted)
                self._shown[wanted.key] = None
        except BusTrouble as trouble:
            log.info("notifications: %s", trouble)
            if isinstance(wanted, DesktopNotification):
                self._wanted.put_nowait(wanted)
            return False
        return True

    async def _read(self, bus: SessionBus, service: NotificationService) -> None:
        from jeepney import HeaderFields

        while True:
            message = await bus.signals.get()
            fields = message.header.fields
            acted = service.read(
                str(fields.get(HeaderFields.sender, "")),
                str(fields.get(HeaderFields.interface, "")),
                str(fields.get(HeaderFields.member, "")),
                message.body,
            )
            if acted is not None:
                self.acted.emit(acted)

    async def _end(self, service: NotificationService) -> None:
        shown, self._shown = self._shown, {}
        with contextlib.suppress(BusTrouble, TimeoutError, OSError):
            async with asyncio.timeout(END_SECONDS):
                for key in shown:
                    await service.withdraw(key)
