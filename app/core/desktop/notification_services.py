"""The two services of Linux desktops that show notifications.

`PortalNotifications` speaks https://flatpak.github.io/xdg-desktop-portal/docs/doc-org.freedesktop.portal.Notification.html,
`ServerNotifications` https://specifications.freedesktop.org/notification-spec/1.3/.
"""

from __future__ import annotations

import contextlib
import html
from typing import TYPE_CHECKING, Any, Protocol

from app.core.desktop.notification import Acted, sendable
from app.core.desktop.session_bus import BusTrouble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.desktop.notification import DesktopNotification
    from app.core.desktop.session_bus import SessionBus

APP_ID = "burrow"
# What comes back when the notification itself is pressed.
PORTAL_DEFAULT, SERVER_DEFAULT = "open", "default"
# Expiry of a notification in milliseconds: as the service likes, or never.
USUAL_EXPIRY, NO_EXPIRY = -1, 0


class NotificationService(Protocol):
    """Shows notifications. `show` and `withdraw` raise `BusTrouble`."""

    async def show(self, notification: DesktopNotification) -> None: ...

    async def withdraw(self, key: str) -> None: ...

    def read(self, sender: str, interface: str, member: str, body: Sequence[Any]) -> Acted | None:
        """What a signal says. None for one of somebody else, or about something else."""
        ...


class PortalNotifications:
    """The portal. It knows programs by their application id, which a program outside a sandbox has to say."""

    NAME, PATH = "org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop"
    INTERFACE = "org.freedesktop.portal.Notification"
    REGISTRY = "org.freedesktop.host.portal.Registry"

    def __init__(self, bus: SessionBus) -> None:
        self._bus, self._owner = bus, ""

    @classmethod
    async def find(cls, bus: SessionBus) -> PortalNotifications | None:
        """The portal, if it shows notifications."""
        with contextlib.suppress(BusTrouble):
            # First, as the portal wants it. Portals before 1.19 take it from the process's systemd scope.
            await bus.call(cls.NAME, cls.PATH, cls.REGISTRY, "Register", "sa{sv}", APP_ID, {})
        try:
            await bus.call(cls.NAME, cls.PATH, "org.freedesktop.DBus.Properties", "Get", "ss", cls.INTERFACE, "version")
        except BusTrouble:
            return None
        await bus.subscribe(cls.PATH, cls.INTERFACE)
        return cls(bus)

    async def show(self, notification: DesktopNotification) -> None:
        content: dict[str, tuple[str, Any]] = {
            "title": ("s", sendable(notification.title)),
            "body": ("s", sendable(notification.body)),
            "default-action": ("s", PORTAL_DEFAULT),
            "priority": ("s", "high" if notification.stays else "normal"),
        }
        if notification.actions:
            buttons = [
                {"label": ("s", sendable(action.words)), "action": ("s", action.id)} for action in notification.actions
            ]
            content["buttons"] = ("aa{sv}", buttons)
        # Before it is shown: a button may be pressed at once.
        self._owner = await self._bus.owner(self.NAME)
        await self._call("AddNotification", "sa{sv}", notification.key, content)

    async def withdraw(self, key: str) -> None:
        await self._call("RemoveNotification", "s", key)

    def read(self, sender: str, interface: str, member: str, body: Sequence[Any]) -> Acted | None:
        if (sender, interface, member) != (self._owner, self.INTERFACE, "ActionInvoked") or len(body) != 3:
            return None
        key, action, parameters = body
        return Acted(str(key), "" if action == PORTAL_DEFAULT else str(action), _portal_token(parameters))

    async def _call(self, method: str, signature: str, *body: Any) -> None:
        await self._bus.call(self.NAME, self.PATH, self.INTERFACE, method, signature, *body)


class ServerNotifications:
    """A notification server. It numbers what it shows."""

    NAME = INTERFACE = "org.freedesktop.Notifications"
    PATH = "/org/freedesktop/Notifications"

    def __init__(self, bus: SessionBus, capabilities: frozenset[str]) -> None:
        self._bus, self._capabilities, self._owner = bus, capabilities, ""
        self._ids: dict[str, int] = {}
        self._tokens: dict[int, str] = {}

    @classmethod
    async def find(cls, bus: SessionBus) -> ServerNotifications | None:
        """The server, if one is running or can be started."""
        try:
            (capabilities,) = await bus.call(cls.NAME, cls.PATH, cls.INTERFACE, "GetCapabilities", returns="as")
        except BusTrouble:
            return None
        await bus.subscribe(cls.PATH, cls.INTERFACE)
        return cls(bus, frozenset(map(str, capabilities)))

    async def show(self, notification: DesktopNotification) -> None:
        body = sendable(notification.body)
        actions: list[str] = []
        if "actions" in self._capabilities:
            for action in notification.actions:
                actions += [action.id, sendable(action.words)]
            # Last: some servers list all of them, and start with the first.
            actions += [SERVER_DEFAULT, sendable(notification.opens)]
        # The icon comes from the desktop entry, where Burrow is installed.
        hints = {"desktop-entry": ("s", APP_ID), "urgency": ("y", 1)}
        # Before it is shown: a button may be pressed at once.
        self._owner = await self._bus.owner(self.NAME)
        (number,) = await self._bus.call(
            self.NAME,
            self.PATH,
            self.INTERFACE,
            "Notify",
            "susssasa{sv}i",
            "Burrow",
            self._ids.get(notification.key, 0),
            APP_ID,
            sendable(notification.title),
            html.escape(body, quote=False) if "body-markup" in self._capabilities else body,
            actions,
            hints,
            NO_EXPIRY if notification.stays else USUAL_EXPIRY,
            returns="u",
        )
        self._ids[notification.key] = number

    async def withdraw(self, key: str) -> None:
        number = self._ids.pop(key, None)
        if number is not None:
            await self._bus.call(self.NAME, self.PATH, self.INTERFACE, "CloseNotification", "u", number)

    def read(self, sender: str, interface: str, member: str, body: Sequence[Any]) -> Acted | None:
        if (sender, interface, len(body)) != (self._owner, self.INTERFACE, 2):
            return None
        number, value = body
        key = next((key for key, known in self._ids.items() if known == number), None)
        if key is None:
            return None
        match member:
            case "ActivationToken":
                self._tokens[number] = str(value)
            case "NotificationClosed":
                del self._ids[key]
                self._tokens.pop(number, None)
            case "ActionInvoked":
                return Acted(key, "" if value == SERVER_DEFAULT else str(value), self._tokens.pop(number, ""))
            case _:
                pass
        return None


def _portal_token(parameters: Any) -> str:
    """The activation token among the parameters of an action (`av`): the last one is data of the platform."""
    if not isinstance(parameters, list):
        return ""
    for parameter in parameters:
        if isinstance(parameter, tuple) and len(parameter) == 2 and isinstance(parameter[1], dict):
            token = parameter[1].get("activation-token")
            if isinstance(token, tuple) and len(token) == 2 and isinstance(token[1], str):
                return token[1]
    return ""
