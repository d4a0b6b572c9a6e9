"""A session bus of the test's own, and a portal on it that inhibits and tells of the end of the session."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jeepney import DBusAddress, HeaderFields, Message, MessageType, message_bus, new_method_return, new_signal
from jeepney.io.asyncio import DBusConnection, open_dbus_connection

from tests.secret_service import BUS_CONFIG

NAME, PATH = "org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop"
INHIBIT = "org.freedesktop.portal.Inhibit"


class InhibitPortal:
    """The Inhibit portal, as its specification has it. `held` are the reasons in force, by their handles."""

    def __init__(self, connection: DBusConnection) -> None:
        self._connection = connection
        self.held: dict[str, str] = {}
        self.flags: list[int] = []
        self.monitors: list[str] = []
        self.responses: list[str] = []
        self.happened = asyncio.Condition()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(5), self.happened:
            await self.happened.wait_for(condition)

    async def tell(self, state: int, path: str = PATH) -> None:
        """Tell every monitor the state of the session."""
        for monitor in self.monitors:
            body = (monitor, {"screensaver-active": ("b", False), "session-state": ("u", state)})
            await self._connection.send(
                new_signal(DBusAddress(path, interface=INHIBIT), "StateChanged", "oa{sv}", body)
            )

    async def serve(self) -> None:
        while True:
            message = await self._connection.receive()
            if message.header.message_type is MessageType.method_call:
                await self._connection.send(self._answer(message))
                async with self.happened:
                    self.happened.notify_all()

    def _answer(self, message: Message) -> Message:
        fields = message.header.fields
        path, member = fields[HeaderFields.path], fields[HeaderFields.member]
        if member == "CreateMonitor":
            _window, options = message.body
            handle = f"/org/freedesktop/portal/desktop/session/test/{options['session_handle_token'][1]}"
            self.monitors.append(handle)
            return new_method_return(message, "o", ("/org/freedesktop/portal/desktop/request/test/1",))
        if member == "Inhibit":
            _window, flags, options = message.body
            handle = f"/org/freedesktop/portal/desktop/request/test/{len(self.flags) + 2}"
            self.held[handle] = options["reason"][1]
            self.flags.append(flags)
            return new_method_return(message, "o", (handle,))
        if member == "Close":
            self.held.pop(path, None)
            if path in self.monitors:
                self.monitors.remove(path)
        if member == "QueryEndResponse":
            self.responses.append(message.body[0])
        return new_method_return(message)


@asynccontextmanager
async def inhibit_portal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[InhibitPortal]:
    """A private bus, which is the session bus of this process meanwhile, with the portal on it."""
    config, socket = folder / "bus.conf", folder / "bus"
    config.write_text(BUS_CONFIG.format(socket=socket))
    command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"]
    daemon = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert daemon.stdout is not None
    try:
        address = (await asyncio.wait_for(daemon.stdout.readline(), 10)).decode().strip()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        connection = await open_dbus_connection(address)
        await connection.send(message_bus.RequestName(NAME))
        portal = InhibitPortal(connection)
        serving = asyncio.create_task(portal.serve())
        try:
            yield portal
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await connection.close()
    finally:
        daemon.terminate()
        await asyncio.wait_for(daemon.wait(), 5)
