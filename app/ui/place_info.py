"""How a place declares itself. Imports no Qt, so that the command line and the first paint can read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.ui.translation import translate

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.backend import Backend
    from app.ui.context import Context
    from app.ui.place import Place


def _always(_backend: Backend | None) -> bool:
    return True


class PlaceInfo(NamedTuple):
    """The declaration of a place; it stands in the place's package.

    `id` is its name on the command line, in commands and in settings. `title` is untranslated (context `Places`),
    `icon` a name of `theme.icons`, `keys` the portable QKeySequence string that leads there. `make` imports the place's
    own code and builds it. `available` says whether the rail offers it on a backend (None: not connected).
    `global_keys` are keys of its commands that work in every place: they show the place first. `needs_account`: without
    an account the place has nothing to show and is not offered. `tells`: it tells what needs the user also while it was
    never shown, so it is built once the window has settled.
    """

    id: str
    title: str
    icon: str
    keys: str
    make: Callable[[Context], Place]
    available: Callable[[Backend | None], bool] = _always
    global_keys: tuple[str, ...] = ()
    needs_account: bool = True
    tells: bool = False

    @property
    def label(self) -> str:
        """The title in the user's language."""
        return translate("Places", self.title)
