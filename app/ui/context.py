"""What every place of the window is given, and the commands that it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.services import Services
    from app.ui.bridge import Bridge


class Command(NamedTuple):
    """One entry of the palette and, where it has keys, of the keyboard map.

    `title` is an imperative phrase, `keys` a portable QKeySequence string ("Ctrl+N"), `group` the heading in the
    palette and in the key sheet. `enabled` is asked each time the palette opens. A command that `repeats` runs again
    and again while its keys are held; the others run once for each time that they are pressed. One that works
    `anywhere` can be run by its keys on the first page too, where no place is in view.
    """

    id: str
    title: str
    run: Callable[[], None]
    keys: str = ""
    group: str = ""
    enabled: Callable[[], bool] = lambda: True
    repeats: bool = False
    anywhere: bool = False


class Navigator(Protocol):
    """What a place can ask of the window."""

    def go(self, place: str, item: str | None = None) -> None:
        """Show a place by its `PlaceInfo.id` and, in it, an item by id."""

    def announce(self, text: str, *, assertive: bool = False) -> None:
        """Say `text` to assistive technology."""

    def status(self, text: str) -> None:
        """Show a temporary message in the status corner; empty clears it."""

    def sign_in(self) -> None:
        """Start signing in to the current host in the browser."""

    async def allow(self, scopes: Sequence[str]) -> None:
        """Ask the user in the browser for these permissions besides those granted; returns once they are granted.

        Cancelling the coroutine withdraws the question. Raises `SignInNeeded` when the user denies or cancels, and
        another `BurrowError` when they could not be asked.
        """


class Context(NamedTuple):
    """The services a place works with. A place never builds its own."""

    services: Services
    bridge: Bridge
    navigator: Navigator
