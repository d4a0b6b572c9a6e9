"""SessionEnd: hears that the desktop's session ends, and asks it not to while work would be broken off.

Speaks the Inhibit portal (org.freedesktop.portal.Inhibit, version 3, of xdg-desktop-portal), which GNOME, KDE and the
GTK backend for others implement, in and out of a sandbox: `CreateMonitor` and `StateChanged` tell of the end, `Inhibit`
has the desktop show a reason before the user ends the session.

Only the end of the session is inhibited. A call that a suspended machine breaks off fails like one whose network is
gone; agents' runs, which go on for long, will be a reason to inhibit suspension too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from app.core.background import BackgroundTasks
from app.core.desktop.session_bus import BusTrouble, SessionBus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

PORTAL, PORTAL_PATH = "org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop"
INHIBIT, REQUEST, SESSION = (
    "org.freedesktop.portal.Inhibit",
    "org.freedesktop.portal.Request",
    "org.freedesktop.portal.Session",
)
# Of `Inhibit`: 1 is the end of the session, 2 user switching, 4 suspension, 8 idleness.
LOGOUT = 1
# The desktop waits about a second for the answer to its question.
ANSWER_WITHIN_SECONDS = 0.8


class DesktopSessionState(IntEnum):
    """The values of `session-state` in `StateChanged`."""

    RUNNING = 1
    QUERY_END = 2
    ENDING = 3


class SessionEnd:
    """`run`, one coroutine of the owner, works until it is cancelled. `busy_with` may be called at any time.

    `ask` is awaited when the session is about to end, to store what is typed; `ending` is called when it ends.
    """

    def __init__(self, ask: Callable[[], Awaitable[None]], ending: Callable[[], object]) -> None:
        self._ask, self._ending = ask, ending
        self._reason = ""
        self._wanted = asyncio.Event()
        self._session = ""
        self._inhibitor = ""
        self._said = ""

    @property
    def inhibits(self) -> bool:
        """Whether the desktop has been asked not to end the session."""
        return bool(self._inhibitor)

    def busy_with(self, reason: str) -> None:
        """Ask the desktop not to end the session for this reason, which it shows; empty for none."""
        if reason != self._reason:
            self._reason = reason
            self._wanted.set()

    async def run(self) -> None:
        """Follow the session. Returns where the desktop has no such service; raises nothing."""
        try:
            async with SessionBus() as bus:
                await self._follow(bus)
        except BusTrouble as trouble:
            log.info("the end of the session: %s", trouble)

    async def _follow(self, bus: SessionBus) -> None:
        # A call starts the portal where it does not run.
        await bus.call(PORTAL, PORTAL_PATH, "org.freedesktop.DBus.Peer", "Ping")
        portal = await bus.owner(PORTAL)
        await bus.subscribe(PORTAL_PATH, INHIBIT)
        token = f"burrow_{os.getpid()}_{os.urandom(4).hex()}"
        options = {"session_handle_token": ("s", token)}
        working = BackgroundTasks()
        try:
            # Read before the monitor exists: it tells the present state at once.
            working.start(self._read(bus, portal))
            await bus.call(PORTAL, PORTAL_PATH, INHIBIT, "CreateMonitor", "sa{sv}", "", options)
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                await self._inhibit(bus)
        finally:
            await working.close()
            # A service that is asked again ends what was asked before.
            with contextlib.suppress(BusTrouble, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._release(bus)
                    if self._session:
                        await bus.call(PORTAL, self._session, SESSION, "Close")

    async def _inhibit(self, bus: SessionBus) -> None:
        wanted = self._reason
        if wanted == self._said:
            return
        await self._release(bus)
        if wanted:
            options = {"reason": ("s", wanted)}
            try:
                (handle,) = await bus.call(
                    PORTAL, PORTAL_PATH, INHIBIT, "Inhibit", "sua{sv}", "", LOGOUT, options, returns="o"
                )
                self._inhibitor = str(handle)
            except BusTrouble as trouble:
                # It still tells of the end.
                log.info("the session is not kept from ending: %s", trouble)
        self._said = wanted

    async def _release(self, bus: SessionBus) -> None:
        handle, self._inhibitor, self._said = self._inhibitor, "", ""
        if handle:
            with contextlib.suppress(BusTrouble):
                await bus.call(PORTAL, handle, REQUEST, "Close")

    async def _read(self, bus: SessionBus, portal: str) -> None:
        from jeepney import HeaderFields

        while True:
            message = await bus.signals.get()
            fields = message.header.fields
            known = (fields.get(HeaderFields.interface), fields.get(HeaderFields.member)) == (INHIBIT, "StateChanged")
            # Anybody can send a signal.
            if not known or fields.get(HeaderFields.sender) != portal:
                continue
            session, state = _state_of(message.body)
            if session:
                self._session = session
                await self._changed(bus, session, state)

    async def _changed(self, bus: SessionBus, session: str, state: int) -> None:
        if state == DesktopSessionState.QUERY_END:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
                    await self._ask()
            with contextlib.suppress(BusTrouble):
                await bus.call(PORTAL, PORTAL_PATH, INHIBIT, "QueryEndResponse", "o", session)
        elif state == DesktopSessionState.ENDING:
            self._ending()


def _state_of(body: Any) -> tuple[str, int]:
    """The session and its state that a `StateChanged` (`oa{sv}`) tells; ("", 0) for anything else."""
    try:
        session, state = body
        kind, value = state["session-state"]
    except (ValueError, KeyError, TypeError):
        return "", 0
    return (session, value) if isinstance(session, str) and kind == "u" and isinstance(value, int) else ("", 0)
