"""SessionBus: one connection to the D-Bus session bus, for as long as a coroutine uses it.

Speaks https://dbus.freedesktop.org/doc/dbus-specification.html through jeepney, which keyring brings on Linux: the
types of arguments are written out, which QtDBus leaves to a guess (it sends no `u`, no `aa{sv}`).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from jeepney import Message
    from jeepney.io.asyncio import DBusConnection, DBusRouter

ANSWER_SECONDS = 5.0
CLOSE_SECONDS = 1.0
BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
# Signals that nobody has read yet. Further ones are dropped.
MOST_SIGNALS = 256


class BusTrouble(Exception):
    """There is no bus, it is gone, or who was called answers with an error or not in time. Nobody is shown it."""


class SessionBus:
    """`async with SessionBus() as bus:` opens the connection. Raises `BusTrouble` when there is none."""

    def __init__(self) -> None:
        self.signals: asyncio.Queue[Message] = asyncio.Queue(MOST_SIGNALS)
        self._stack = contextlib.AsyncExitStack()
        self._router: DBusRouter | None = None
        self._waiting: set[asyncio.Future[Message]] = set()

    async def __aenter__(self) -> Self:
        # Imported here: it takes 30 ms, and nobody may ever be told anything.
        from jeepney import MatchRule, MessageType
        from jeepney.io.asyncio import DBusRouter, open_dbus_connection

        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                connection = await open_dbus_connection("SESSION")
        except (OSError, EOFError, KeyError, ValueError, RuntimeError, TimeoutError, StopIteration) as failure:
            raise BusTrouble(f"There is no session bus: {failure!r}.") from failure
        except asyncio.InvalidStateError as failure:
            # What jeepney makes of a cancellation while the bus has not answered its greeting.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError from failure
            raise BusTrouble("The session bus does not answer.") from failure
        self._stack.push_async_callback(_close, connection)
        router: DBusRouter = await self._stack.enter_async_context(DBusRouter(connection))
        self._router = router
        self._stack.enter_context(router.filter(MatchRule(type=MessageType.signal.name), queue=self.signals))
        return self

    async def __aexit__(self, *_: object) -> None:
        # A connection that broke says so again when it is closed.
        with contextlib.suppress(Exception):
            await self._stack.aclose()
        if self._waiting:
            await asyncio.wait(self._waiting)

    async def call(
        self, name: str, path: str, interface: str, method: str, signature: str = "", *body: Any, returns: str = ""
    ) -> tuple[Any, ...]:
        """What a method returns. `signature` is that of the arguments, `returns` that of what is expected back.

        Raises `BusTrouble`, also for an answer of another signature.
        """
        from jeepney import DBusAddress, DBusErrorResponse, HeaderFields, new_method_call
        from jeepney.io.common import RouterClosed
        from jeepney.wrappers import unwrap_msg

        message = new_method_call(DBusAddress(path, name, interface), method, signature or None, body)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._answer_to(message)
                found = tuple(unwrap_msg(answer))
        except DBusErrorResponse as refusal:
            raise BusTrouble(f"{name} answers {refusal.name}.") from refusal
        # Of a router that has closed, jeepney (0.9) says KeyError.
        except (OSError, EOFError, RouterClosed, KeyError, TimeoutError) as failure:
            raise BusTrouble(f"{name} does not answer: {failure!r}.") from failure
        if returns and answer.header.fields.get(HeaderFields.signature, "") != returns:
            raise BusTrouble(f"{name} answers {method} with something else.")
        return found

    async def _answer_to(self, message: Message) -> Message:
        """Wait for an answer. Who gives up waiting does not cancel jeepney's own wait.

        Were the answer to come in the same turn of the loop, that would end its router (0.9).
        """
        assert self._router is not None
        waiting = asyncio.ensure_future(self._router.send_and_get_reply(message))
        self._waiting.add(waiting)
        waiting.add_done_callback(self._answered)
        return await asyncio.shield(waiting)

    def _answered(self, waiting: asyncio.Future[Message]) -> None:
        self._waiting.discard(waiting)
        # An error that nobody waits for any more is not one to report.
        if not waiting.cancelled():
            waiting.exception()

    async def has_owner(self, name: str) -> bool:
        """Whether a program has this name on the bus now."""
        return bool((await self.call(BUS, BUS_PATH, BUS, "NameHasOwner", "s", name, returns="b"))[0])

    async def owner(self, name: str) -> str:
        """The unique name of the program that has this name. Signals are sent under it."""
        return str((await self.call(BUS, BUS_PATH, BUS, "GetNameOwner", "s", name, returns="s"))[0])

    async def subscribe(self, path: str, interface: str) -> None:
        """Have the signals of an interface put into `signals`. Who sent one must be checked: anybody can."""
        rule = f"type='signal',path='{path}',interface='{interface}'"
        await self.call(BUS, BUS_PATH, BUS, "AddMatch", "s", rule)


async def _close(connection: DBusConnection) -> None:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await connection.close()
