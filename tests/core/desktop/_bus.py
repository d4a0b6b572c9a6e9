"""A session bus of its own for a test, and programs on it that show notifications."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    message_bus,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.io.asyncio import DBusConnection, DBusRouter, Proxy, open_dbus_connection

from tests.secret_service import BUS_CONFIG


@contextmanager
def private_bus(folder: Path) -> Iterator[str]:
    """The address of a bus that starts no programs."""
    config = folder / "bus.conf"
    config.write_text(BUS_CONFIG.format(socket=folder / "bus"))
    reader, writer = os.pipe()
    command = ["dbus-daemon", f"--config-file={config}", "--nofork", f"--print-address={writer}"]
    daemon = subprocess.Popen(command, pass_fds=(writer,))
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            yield pipe.readline().decode().strip()
    finally:
        daemon.terminate()
        daemon.wait(5)


class Service:
    """A program with a name on the bus. `answer(member, body)` gives signature and body, or None for an error."""

    path = interface = name = ""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.broken = False

    def answer(self, member: str, body: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]] | None:
        raise NotImplementedError

    def of(self, member: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of a method."""
        return [body for called, body in self.calls if called == member]

    async def emit(self, member: str, signature: str, *body: Any) -> None:
        signal = new_signal(DBusAddress(self.path, interface=self.interface), member, signature, body)
        await self.connection.send(signal)

    @asynccontextmanager
    async def on(self, address: str) -> AsyncIterator[Any]:
        self.connection = await open_dbus_connection(address)
        async with DBusRouter(self.connection) as router:
            await Proxy(message_bus, router).RequestName(self.name)
        serving = asyncio.create_task(self._serve(self.connection))
        try:
            yield self
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await self.connection.close()

    async def _serve(self, connection: DBusConnection) -> None:
        while True:
            message: Message = await connection.receive()
            if message.header.message_type is not MessageType.method_call:
                continue
            member = message.header.fields[HeaderFields.member]
            self.calls.append((member, message.body))
            answer = None if self.broken else self.answer(member, message.body)
            if answer is None:
                await connection.send(new_error(message, "org.freedesktop.DBus.Error.UnknownMethod"))
            else:
                await connection.send(new_method_return(message, *answer))


class Server(Service):
    """A notification server."""

    name = interface = "org.freedesktop.Notifications"
    path = "/org/freedesktop/Notifications"

    def __init__(self, *capabilities: str) -> None:
        super().__init__()
        self.capabilities = list(capabilities)
        self.number = 40

    def answer(self, member: str, body: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]] | None:
        match member:
            case "GetCapabilities":
                return "as", (self.capabilities,)
            case "Notify":
                self.number = body[1] or self.number + 1
                return "u", (self.number,)
            case "CloseNotification":
                return "", ()
            case _:
                return None


class Portal(Service):
    """A portal that shows notifications."""

    name, path = "org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop"
    interface = "org.freedesktop.portal.Notification"

    def answer(self, member: str, body: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]] | None:
        match member:
            case "Get":
                return "v", (("u", 2),)
            case "AddNotification" | "RemoveNotification":
                return "", ()
            case _:
                return None
