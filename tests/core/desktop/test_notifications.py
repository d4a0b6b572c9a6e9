"""Notifications over a real bus: shown with buttons, answered once, taken back, and by whatever service there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.core.desktop.notification import LONGEST, Acted, DesktopNotification, NotificationAction
from app.core.desktop.notifications import DesktopNotifications
from tests.core.desktop._bus import Portal, Server, private_bus
from tests.until import until

ACTIONS = (NotificationAction("1.0", "Refuse"), NotificationAction("1.1", "Review"))
QUESTION = DesktopNotification("approval", "Cursor <b>wants</b>", "Server: A & <b>B</b>", ACTIONS, stays=True)


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with private_bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        yield address


class Running(DesktopNotifications):
    def __init__(self) -> None:
        super().__init__()
        self.pressed: list[Acted] = []
        self.lost: list[DesktopNotification] = []
        self.acted.subscribe(self.pressed.append)
        self.failed.subscribe(self.lost.append)


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    notifications = Running()
    work = asyncio.create_task(notifications.run())
    try:
        yield notifications
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def test_a_server_shows_buttons_and_says_which_was_pressed(bus: str) -> None:
    async with Server("actions", "body", "body-markup").on(bus) as server, running() as shown:
        shown.show(QUESTION)
        await until(lambda: server.of("Notify"))
        name, replaces, icon, title, body, actions, hints, expiry = server.of("Notify")[0]
        assert (name, replaces, icon, expiry) == ("Burrow", 0, "burrow", 0)
        assert title == "Cursor <b>wants</b>"
        assert body == "Server: A &amp; &lt;b&gt;B&lt;/b&gt;"
        assert actions == ["1.0", "Refuse", "1.1", "Review", "default", "Open"]
        assert hints["desktop-entry"] == ("s", "burrow")
        await server.emit("ActivationToken", "us", 41, "a-token")
        await server.emit("ActionInvoked", "us", 41, "1.1")
        await server.emit("ActionInvoked", "us", 41, "default")
        await until(lambda: len(shown.pressed) == 2)
        assert shown.pressed == [Acted("approval", "1.1", "a-token"), Acted("approval", "")]


async def test_a_notification_replaces_the_one_of_its_key_and_is_taken_back(bus: str) -> None:
    async with Server("actions").on(bus) as server, running() as shown:
        shown.show(QUESTION)
        shown.show(DesktopNotification("approval", "Next", "<i>"))
        shown.show(DesktopNotification("call", "Other", ""))
        shown.withdraw("approval")
        shown.withdraw("approval")
        await until(lambda: server.of("CloseNotification"))
        assert [body[1] for body in server.of("Notify")] == [0, 41, 0]
        # Not escaped: this server shows the text as it is.
        assert server.of("Notify")[1][4] == "<i>"
        await server.emit("ActionInvoked", "us", 41, "1.0")
        await server.emit("ActionInvoked", "us", 42, "default")
        await until(lambda: shown.pressed)
        assert shown.pressed == [Acted("call")]
    assert server.of("CloseNotification") == [(41,), (42,)]


async def test_one_that_the_user_closed_answers_no_more(bus: str) -> None:
    async with Server("actions").on(bus) as server, running() as shown:
        shown.show(QUESTION)
        shown.show(DesktopNotification("call", "Other", ""))
        await until(lambda: len(server.of("Notify")) == 2)
        await server.emit("NotificationClosed", "uu", 41, 2)
        await server.emit("ActionInvoked", "us", 41, "1.0")
        await server.emit("ActionInvoked", "us", 42, "default")
        await until(lambda: shown.pressed)
        assert shown.pressed == [Acted("call")]


async def test_nobody_but_the_server_presses_a_button(bus: str) -> None:
    other = Server()
    other.name = "org.example.Other"
    async with Server("actions").on(bus) as server, other.on(bus), running() as shown:
        shown.show(QUESTION)
        await until(lambda: server.of("Notify"))
        shown.show(DesktopNotification("call", "Other", ""))
        await until(lambda: len(server.of("Notify")) == 2)
        await other.emit("ActionInvoked", "us", 41, "1.0")
        await server.emit("ActionInvoked", "us", 42, "default")
        await until(lambda: shown.pressed)
        assert shown.pressed == [Acted("call")]


async def test_a_server_without_buttons_gets_none(bus: str) -> None:
    async with Server("body").on(bus) as server, running() as shown:
        shown.show(QUESTION)
        await until(lambda: server.of("Notify"))
        assert server.of("Notify")[0][5] == []


async def test_the_portal_goes_before_the_server(bus: str) -> None:
    async with Server("actions").on(bus) as server, Portal().on(bus) as portal, running() as shown:
        shown.show(QUESTION)
        await until(lambda: portal.of("AddNotification"))
        key, content = portal.of("AddNotification")[0]
        assert portal.of("Register") == [("burrow", {})]
        assert key == "approval"
        assert content["body"] == ("s", "Server: A & <b>B</b>")
        assert content["buttons"] == (
            "aa{sv}",
            [
                {"label": ("s", "Refuse"), "action": ("s", "1.0")},
                {"label": ("s", "Review"), "action": ("s", "1.1")},
            ],
        )
        await portal.emit("ActionInvoked", "ssav", "approval", "1.0", [("a{sv}", {"activation-token": ("s", "t")})])
        await portal.emit("ActionInvoked", "ssav", "approval", "open", [])
        await until(lambda: len(shown.pressed) == 2)
        assert shown.pressed == [Acted("approval", "1.0", "t"), Acted("approval")]
        assert not server.calls
    assert portal.of("RemoveNotification") == [("approval",)]


async def test_where_nobody_shows_it_that_is_said(bus: str) -> None:
    async with running() as shown:
        shown.show(QUESTION)
        await until(lambda: shown.lost)
        assert shown.lost == [QUESTION]
        async with Server("actions").on(bus) as server:
            shown.show(QUESTION)
            await until(lambda: server.of("Notify"))


async def test_without_a_bus_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in (None, "", "unix:path=/nowhere", "tcp:host=x"):
        if address is None:
            monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
        else:
            monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        async with running() as shown:
            shown.show(QUESTION)
            await until(lambda: shown.lost)


async def test_a_service_that_was_replaced_is_found_again(bus: str) -> None:
    async with running() as shown:
        async with Server("actions").on(bus) as first:
            shown.show(QUESTION)
            await until(lambda: first.of("Notify"))
        async with Server("actions").on(bus) as second:
            shown.show(QUESTION)
            await until(lambda: second.of("Notify"))
            await second.emit("ActionInvoked", "us", 41, "1.0")
            await until(lambda: shown.pressed)
        shown.withdraw("approval")
        async with Portal().on(bus) as portal:
            shown.show(QUESTION)
            await until(lambda: portal.of("AddNotification"))
    assert not shown.lost


async def test_text_that_the_bus_cannot_carry_is_mended(bus: str) -> None:
    async with Server().on(bus) as server, running() as shown:
        shown.show(DesktopNotification("call", "a\0b\ud800", "x" * 10_000))
        await until(lambda: server.of("Notify"))
        assert server.of("Notify")[0][3] == "ab?"
        assert len(server.of("Notify")[0][4]) == LONGEST


@pytest.mark.parametrize(
    "answers",
    [
        {"GetCapabilities": ("", ())},
        {"GetCapabilities": ("u", (7,))},
        {"GetCapabilities": ("asas", (["actions"], ["body"]))},
        {"Notify": ("", ())},
        {"Notify": ("s", ("41",))},
        {"Notify": ("uu", (41, 42))},
    ],
)
async def test_a_service_that_answers_with_something_else_counts_as_none(
    bus: str, answers: dict[str, tuple[str, tuple[object, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Server("actions").on(bus) as server, running() as shown:
        right = server.answer
        monkeypatch.setattr(server, "answer", lambda member, body: answers.get(member) or right(member, body))
        shown.show(QUESTION)
        await until(lambda: shown.lost)
        # The next one is tried anew.
        monkeypatch.setattr(server, "answer", right)
        shown.show(QUESTION)
        await until(lambda: len(server.of("Notify")) == 1 + ("Notify" in answers))
        await server.emit("ActionInvoked", "us", 41, "1.0")
        await until(lambda: shown.pressed)
