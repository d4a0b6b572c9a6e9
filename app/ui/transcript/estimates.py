"""About how tall an item will be, from what is known without reading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.core.runs.items import (
    Message,
    Notice,
    Permission,
    Plan,
    Prompt,
    Setup,
    ShellCommand,
    Thought,
    ToolCall,
    TurnEnd,
    Unknown,
)
from app.ui.theme import theme, tokens
from app.ui.transcript.card import LONGEST_MESSAGE, OUTPUT_LINES
from app.ui.transcript.drawn import COLUMN, HEAD

if TYPE_CHECKING:
    from app.core.runs.items import Item
    from app.core.runs.transcript import ItemHead

LINE, LETTER = 17, 6.6


class _Measure(NamedTuple):
    """Pixels of the design around the text, and the most lines of it; 0 for what is folded at first."""

    around: int
    lines: int


_CARD = HEAD + tokens.SPACE_2
_MEASURES: dict[type[Item], _Measure] = {
    Prompt: _Measure(HEAD + tokens.SPACE_2 + tokens.SPACE_3, 600),
    Message: _Measure(tokens.SPACE_3, 600),
    Thought: _Measure(_CARD, 0),
    ToolCall: _Measure(_CARD, 0),
    Plan: _Measure(_CARD + tokens.SPACE_2, 100),
    Setup: _Measure(_CARD, 0),
    Permission: _Measure(_CARD, 0),
    Notice: _Measure(tokens.SPACE_3, 600),
    ShellCommand: _Measure(_CARD + tokens.SPACE_4, OUTPUT_LINES),
    TurnEnd: _Measure(HEAD + tokens.SPACE_3, 0),
    Unknown: _Measure(_CARD, 0),
}
_USUAL = _Measure(_CARD, 0)


class Estimates:
    """For one width of the view in pixels."""

    def __init__(self, width: int) -> None:
        current = theme()
        self._scale = current.scale
        self._letters = max(10, int(min(width / current.scale - 2 * tokens.SPACE_4, COLUMN) / LETTER))
        self._around = {kind: current.px(measure.around) for kind, measure in _MEASURES.items()}
        self._folded = {kind for kind, measure in _MEASURES.items() if not measure.lines}
        self._line = max(1, round(LINE * current.scale))

    @property
    def usual(self) -> int:
        """The height of an item of which nothing is known."""
        return round(_USUAL.around * self._scale)

    def of(self, head: ItemHead) -> int:
        """The height in pixels."""
        kind = head.kind
        around = self._around.get(kind)
        if around is None:
            return self.usual
        if kind in self._folded:
            return around
        characters = min(head.characters, LONGEST_MESSAGE)
        lines = min(max(1, head.lines, characters // self._letters + 1), _MEASURES[kind].lines)
        return around + lines * self._line
