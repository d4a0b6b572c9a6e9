"""A desktop's tray for tests: a StatusNotifierWatcher with a host, which reads the icon's menu and presses its entries.

https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem/ and com.canonical.dbusmenu.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jeepney import DBusAddress, Properties, new_method_call
from jeepney.io.blocking import open_dbus_connection
from jeepney.wrappers import unwrap_msg

from tests.core.desktop._bus import Service

WATCHER = "org.kde.StatusNotifierWatcher"
ITEM_PATH = "/StatusNotifierItem"
ITEM = "org.kde.StatusNotifierItem"
MENU = "com.canonical.dbusmenu"
WAIT_SECONDS = 20.0


class Watcher(Service):
    name = interface = WATCHER
    path = "/StatusNotifierWatcher"

    def answer(self, member: str, body: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]] | None:
        match member:
            case "RegisterStatusNotifierItem" | "RegisterStatusNotifierHost":
                return "", ()
            case "Get":
                return "v", (("b", True),)
            case _:
                return None


class TrayHost:
    """What a panel knows of the icons."""

    def __init__(self, address: str, watcher: Watcher) -> None:
        self._bus = open_dbus_connection(address)
        self._watcher = watcher

    def item(self) -> str:
        """The bus name of the icon; waits for one."""
        _until(lambda: self._watcher.of("RegisterStatusNotifierItem"))
        return str(self._watcher.of("RegisterStatusNotifierItem")[-1][0])

    def words(self) -> str:
        """The tool tip."""
        ((_, tip),) = self._ask(Properties(DBusAddress(ITEM_PATH, self.item(), ITEM)).get("ToolTip"))
        return str(tip[2])

    def entries(self) -> dict[str, int]:
        """The visible entries of the menu, with their ids."""
        ((_, path),) = self._ask(Properties(DBusAddress(ITEM_PATH, self.item(), ITEM)).get("Menu"))
        self._menu = DBusAddress(path, self.item(), MENU)
        self._ask(new_method_call(self._menu, "AboutToShow", "i", (0,)))
        _, (_, _, children) = self._ask(new_method_call(self._menu, "GetLayout", "iias", (0, -1, [])))
        found = {}
        for _, (number, properties, _) in children:
            label = properties.get("label", ("s", ""))[1].replace("_", "")
            if label and properties.get("visible", ("b", True))[1]:
                found[label] = number
        return found

    def press(self, words: str) -> None:
        """Press the entry with these words."""
        number = self.entries()[words]
        self._ask(new_method_call(self._menu, "Event", "isvu", (number, "clicked", ("s", ""), 0)))

    def activate(self) -> None:
        """Press the icon."""
        self._ask(new_method_call(DBusAddress(ITEM_PATH, self.item(), ITEM), "Activate", "ii", (0, 0)))

    def close(self) -> None:
        self._bus.close()

    def _ask(self, message: Any) -> Any:
        return unwrap_msg(self._bus.send_and_get_reply(message, timeout=WAIT_SECONDS))


@contextmanager
def tray_host(address: str) -> Iterator[TrayHost]:
    """A tray on the bus with this address, until it goes."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(WAIT_SECONDS)

    watcher = Watcher()
    there = watcher.on(address)
    run(there.__aenter__())
    host = TrayHost(address, watcher)
    try:
        yield host
    finally:
        host.close()
        run(there.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _until(condition: Any) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)
