"""A state as the window shows it: glyph, word and tone, never colour alone.

Each table of states stands beside what it describes, keyed by its enum. Tables hold the words untranslated; the
functions here translate them (context `State`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QCoreApplication

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.ui.theme.tokens import Tone


class State(NamedTuple):
    """`glyph` is a name of `icons`, `word` one or two words, `tone` a text colour of the tokens."""

    glyph: str
    word: str
    tone: Tone


def translated(state: State) -> State:
    """A state of a table with its word in the person's language."""
    return state._replace(word=QCoreApplication.translate("State", state.word))


def by_name(table: Mapping[str, State], name: str) -> State:
    """The state that a server names. One that this version does not know is shown by its own name."""
    found = table.get(name)
    if found is None:
        return State("question", name.replace("_", " ").capitalize(), "muted")
    return translated(found)
