"""What a notification of the desktop says, and what comes back of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# Services show a few lines. What is longer costs them time.
LONGEST = 600


class NotificationAction(NamedTuple):
    """A button: what comes back when it is pressed, and its words."""

    id: str
    words: str


@dataclass(frozen=True, slots=True)
class DesktopNotification:
    """It replaces the one with the same `key`. `title` and `body` are plain text.

    One that `stays` is shown until somebody acts on it or it is withdrawn. `opens` is what pressing the notification
    itself does, for services that list it among the buttons.
    """

    key: str
    title: str
    body: str
    actions: tuple[NotificationAction, ...] = ()
    stays: bool = False
    opens: str = "Open"


@dataclass(frozen=True, slots=True)
class Acted:
    """Somebody pressed a button of a notification, or the notification itself: then `action` is empty.

    `token` lets a window come forward on Wayland (xdg-activation); empty where the service gives none.
    """

    key: str
    action: str = ""
    token: str = ""


def sendable(text: str) -> str:
    """`text` within what D-Bus takes for a string: valid UTF-8 without NUL. Of a long one, the beginning."""
    cut = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return cut.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
