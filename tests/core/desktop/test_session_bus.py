"""A connection to a real session bus: what it makes of answers that come late, and of a bus that ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from jeepney import Message, message_bus, new_method_return
from jeepney.io.asyncio import DBusConnection, DBusRouter, Proxy, open_dbus_connection

from app.core.desktop.session_bus import BusTrouble, SessionBus
from tests.core.desktop._bus import private_bus

NAME = "app.burrow.Test"


@asynccontextmanager
async def slow_program(address: str) -> AsyncIterator[DBusConnection]:
    """A program on the bus that answers when the test says so."""
    connection = await open_dbus_connection(address)
    async with DBusRouter(connection) as router:
        await Proxy(message_bus, router).RequestName(NAME)
    try:
        yield connection
    finally:
        await connection.close()


async def called(program: DBusConnection) -> Message:
    while True:
        message = await program.receive()
        if message.header.message_type.name == "method_call":
            return message


async def test_a_wait_that_is_cancelled_in_the_turn_of_its_answer_leaves_the_connection_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with private_bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        async with slow_program(address) as program, SessionBus() as bus:
            waiting = asyncio.create_task(bus.call(NAME, "/", NAME, "Ask"))
            question = await called(program)
            await program.send(new_method_return(question))
            # The answer is read in the next turn of the loop, and the wait is cancelled before it is handed on.
            asyncio.get_running_loop().call_later(0, waiting.cancel)
            time.sleep(0.1)  # noqa: ASYNC251 - until the bus has passed it on
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await bus.has_owner(NAME)


async def test_a_bus_that_ends_while_an_answer_is_waited_for_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as daemon:
        address = daemon.enter_context(private_bus(tmp_path))
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        async with slow_program(address) as program, SessionBus() as bus:
            waiting = asyncio.create_task(bus.call(NAME, "/", NAME, "Ask"))
            await called(program)
            await asyncio.to_thread(daemon.close)
            with pytest.raises(BusTrouble, match="does not answer"):
                await waiting
