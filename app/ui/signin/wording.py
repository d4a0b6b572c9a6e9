"""What an error says on the first page, where nothing is saved yet and nothing is tried again by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QCoreApplication

from app.core.errors import NotConnectable, Offline, SignInNeeded
from app.ui.translation import marked

if TYPE_CHECKING:
    from app.core.errors import BurrowError


class Words(NamedTuple):
    """The title and the advice of a card."""

    title: str
    advice: str


# The first type that matches decides. What is not here has words that are true on the first page too.
WORDS: tuple[tuple[type[BurrowError], Words], ...] = (
    (
        Offline,
        Words(
            marked("FirstRun", "The server cannot be reached"),
            marked("FirstRun", "Check the address and this computer's connection, then try again."),
        ),
    ),
    (
        SignInNeeded,
        Words(
            marked("FirstRun", "You are not signed in"),
            marked("FirstRun", "Try again, or use another account or key."),
        ),
    ),
)


def words_of(error: BurrowError) -> Words:
    """Title and advice of an error, in the user's language."""
    if not isinstance(error, NotConnectable):
        for kind, words in WORDS:
            if isinstance(error, kind):
                return Words(_tr(words.title), _tr(words.advice))
    return Words(error.title, error.advice)


def _tr(text: str) -> str:
    return QCoreApplication.translate("FirstRun", text)
