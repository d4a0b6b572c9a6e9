"""What assistive technology sees of a running window, and can do to it: AT-SPI over a private accessibility bus.

Speaks the D-Bus interfaces of https://gnome.pages.gitlab.gnome.org/at-spi2-core/devel-docs/ (Accessible, Action,
Component, Text, EditableText), so that tests find and press what a person would, by role and name. Linux under X only.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from jeepney import DBusAddress, MatchRule, MessageType, Properties, message_bus, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jeepney import Message

LAUNCHER = "/usr/libexec/at-spi-bus-launcher"
ANSWER_SECONDS = 10.0
STOP_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 0.05
REGISTRY = "/org/a11y/atspi/registry"
ROOT = ("org.a11y.atspi.Registry", "/org/a11y/atspi/accessible/root")
NULL_PATH = "/org/a11y/atspi/null"
SHOWING = 1 << 25


class AccessibilityError(Exception):
    """The accessibility bus did not start, or nothing answered there as asked."""


@dataclass(frozen=True)
class Node:
    """One accessible object; what it is called and shows is asked anew each time."""

    bus: DBusConnection
    owner: str
    path: str

    @property
    def name(self) -> str:
        return str(self._property("Name"))

    @property
    def description(self) -> str:
        return str(self._property("Description"))

    @property
    def role(self) -> str:
        """AT-SPI's own word: `push button`, `table cell`, `text`, `frame`, …"""
        return str(self._ask("Accessible", "GetRoleName")[0])

    @property
    def showing(self) -> bool:
        """Whether it is on the screen as far as the program knows."""
        low, _high = self._ask("Accessible", "GetState")[0]
        return bool(low & SHOWING)

    def children(self) -> list[Node]:
        found = self._ask("Accessible", "GetChildren")[0]
        return [Node(self.bus, owner, path) for owner, path in found if path != NULL_PATH]

    def descendants(self, depth: int = 1) -> Iterator[tuple[int, Node]]:
        """Every object that shows below this one with its depth; what vanishes meanwhile is left out."""
        try:
            children = [child for child in self.children() if child.showing]
        except AccessibilityError:
            return
        for child in children:
            yield depth, child
            yield from child.descendants(depth + 1)

    @property
    def middle(self) -> tuple[int, int]:
        """Where a person would point at it, in pixels of the screen."""
        x, y, width, height = self._ask("Component", "GetExtents", "u", 0)[0]
        return x + width // 2, y + height // 2

    def press(self) -> None:
        """Do its first action: what a click or Return would do."""
        if not self._ask("Action", "DoAction", "i", 0)[0]:
            raise AccessibilityError(f"{self.name!r} did not take its action")

    def text(self) -> str:
        return str(self._ask("Text", "GetText", "ii", 0, -1)[0])

    def write(self, text: str) -> None:
        """Replace its text, as an input method would."""
        if not self._ask("EditableText", "SetTextContents", "s", text)[0]:
            raise AccessibilityError(f"{self.name!r} did not take text")

    def _address(self, interface: str) -> DBusAddress:
        return DBusAddress(self.path, bus_name=self.owner, interface=f"org.a11y.atspi.{interface}")

    def _property(self, name: str) -> Any:
        return _reply(self.bus, Properties(self._address("Accessible")).get(name))[0][1]

    def _ask(self, interface: str, method: str, signature: str | None = None, *body: Any) -> tuple[Any, ...]:
        return _reply(self.bus, new_method_call(self._address(interface), method, signature, body))


class Accessibility:
    """`with Accessibility(environment) as eyes:` an accessibility bus beside the session bus named in `environment`.

    Start the program with `eyes.env`, then `eyes.find(...)`. The bus belongs to `user` (by default whoever runs the
    test), and only that one's programs and root's may connect to it. Raises `AccessibilityError`.
    """

    def __init__(self, environment: Mapping[str, str], user: int | None = None) -> None:
        self.env = {**environment, "QT_LINUX_ACCESSIBILITY_ALWAYS_ON": "1"}
        self._user = user
        self._launcher: subprocess.Popen[bytes] | None = None
        self._bus: DBusConnection | None = None

    def __enter__(self) -> Self:
        quiet = subprocess.DEVNULL
        self._launcher = subprocess.Popen(
            [LAUNCHER, "--launch-immediately"], env=self.env, stdin=quiet, stdout=quiet, stderr=quiet, user=self._user
        )
        try:
            self._bus = open_dbus_connection(self._address())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def applications(self) -> list[Node]:
        assert self._bus is not None
        return Node(self._bus, *ROOT).children()

    def find(self, name: str | re.Pattern[str], role: str | None = None, *, seconds: float = 20.0) -> Node:
        """The first object that shows in any application, is called `name` and has that role; waits for it to appear.

        A text is the whole name, a pattern is searched for in it.
        """
        deadline = time.monotonic() + seconds
        while True:
            for application in self.applications():
                for _, node in application.descendants():
                    if self._is(node, name, role):
                        return node
            if time.monotonic() > deadline:
                raise AccessibilityError(f"nothing is called {name!r} ({role}); there is:\n{self.outline()}")
            time.sleep(LOOK_AGAIN_SECONDS)

    def listen(self, event: str) -> Callable[[], list[str]]:
        """Have programs tell of an event of objects. What is returned gives the texts of those that came since."""
        assert self._bus is not None
        name = re.sub("(?<!^)(?=[A-Z])", "-", event).lower()
        registry = DBusAddress(REGISTRY, bus_name=ROOT[0], interface="org.a11y.atspi.Registry")
        _reply(self._bus, new_method_call(registry, "RegisterEvent", "s", (f"object:{name}",)))
        rule = MatchRule(type="signal", interface="org.a11y.atspi.Event.Object", member=event)
        _reply(self._bus, message_bus.AddMatch(rule))
        caught: deque[Message] = deque()
        filtered = self._bus.filter(rule, queue=caught)
        filtered.__enter__()

        def heard() -> list[str]:
            # What was sent before an answer has arrived with it.
            self.applications()
            return [str(message.body[3][1]) for message in caught]

        return heard

    def outline(self) -> str:
        """Everything that shows as indented `role: name` lines, for a failed test's message."""
        lines: list[str] = []
        for application in self.applications():
            for depth, node in application.descendants():
                with contextlib.suppress(AccessibilityError):
                    lines.append(f"{'  ' * (depth - 1)}{node.role}: {node.name}")
        return "\n".join(lines)

    @staticmethod
    def _is(node: Node, name: str | re.Pattern[str], role: str | None) -> bool:
        try:
            called = node.name == name if isinstance(name, str) else bool(name.search(node.name))
            return called and role in (None, node.role)
        except AccessibilityError:
            return False

    def _address(self) -> str:
        """Ask the session bus for the accessibility bus until its launcher has taken its name there."""
        with open_dbus_connection(self.env["DBUS_SESSION_BUS_ADDRESS"]) as session:
            ask = DBusAddress("/org/a11y/bus", bus_name="org.a11y.Bus", interface="org.a11y.Bus")
            deadline = time.monotonic() + ANSWER_SECONDS
            while True:
                try:
                    return str(_reply(session, new_method_call(ask, "GetAddress"))[0])
                except AccessibilityError:
                    if time.monotonic() > deadline or self._launcher is None or self._launcher.poll() is not None:
                        raise
                    time.sleep(LOOK_AGAIN_SECONDS)

    def _stop(self) -> None:
        if self._bus is not None:
            self._bus.close()
            self._bus = None
        if self._launcher is not None:
            self._launcher.terminate()
            try:
                self._launcher.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._launcher.kill()
                self._launcher.wait(STOP_SECONDS)
            self._launcher = None


def _reply(bus: DBusConnection, message: Any) -> tuple[Any, ...]:
    try:
        reply = bus.send_and_get_reply(message, timeout=ANSWER_SECONDS)
    except (TimeoutError, OSError) as error:
        raise AccessibilityError(str(error)) from error
    if reply.header.message_type is MessageType.error:
        raise AccessibilityError(str(reply.body))
    return tuple(reply.body)
