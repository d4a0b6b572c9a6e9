"""A state as the window shows it: glyph, word and tone, never colour alone.

Each table of states stands beside what it describes, keyed by its enum. Tables hold the words untranslated; the
functions here translate them (context `State`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QCoreApplication

from app.marks import revealed_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.ui.theme.tokens import Tone


# Of a name that a server or an agent invents, in characters.
LONGEST_NAME = 60


class State(NamedTuple):
    """`glyph` is a name of `icons`, `word` one or two words, `tone` a text colour of the tokens."""

    glyph: str
    word: str
    tone: Tone


def translated(state: State) -> State:
    """A state of a table with its word in the person's language."""
    return state._replace(word=QCoreApplication.translate("State", state.word))


def by_name(table: Mapping[str, State], name: str) -> State:
    """The state that a server names. One that this version does not know is shown by its own name, made safe."""
    found = table.get(name)
    if found is None:
        words = revealed_name(name[:LONGEST_NAME].replace("_", " ")).capitalize()
        return State("question", words, "muted")
    return translated(found)
