"""What the window says of an item: glyph, title, state and the parts below them. No widgets and no layout.

Texts are bounded here. A part that is cut off carries its whole text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from app.ui.transcript.shown_text import beginning_of, end_of, of_terminal, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.ui.theme.state import State
    from app.ui.theme.tokens import Tone

Frame = Literal["open", "card", "raised", "line", "separator"]
PartKind = Literal["markdown", "plain", "mono", "diff", "caption"]

LONGEST_MESSAGE, MESSAGE_LINES = 24_000, 600
LONGEST_OUTPUT, OUTPUT_LINES = 8_000, 60
LONGEST_JSON, JSON_LINES = 6_000, 80


class CardPart(NamedTuple):
    """Text below the title. `text` is safe to lay out. With `whole`, characters are left out: `left_out` of them."""

    kind: PartKind
    text: str
    glyph: str = ""
    tone: Tone = "text"
    whole: str = ""
    left_out: int = 0


class ItemCard(NamedTuple):
    """An item as it is shown. `parts` is called when it is open; `folds` says that it can be folded.

    `state` stands at the right with its word, or with `took` in place of it; `spoken` is read aloud as its name.
    """

    frame: Frame
    spoken: str
    parts: Callable[[], Iterator[CardPart]]
    glyph: str = ""
    tone: Tone = "muted"
    title: str = ""
    detail: str = ""
    state: State | None = None
    took: str = ""
    folds: bool = False
    open_first: bool = True
    late: bool = False


def nothing() -> Iterator[CardPart]:
    """The parts of an item that has none."""
    return iter(())


def bounded(kind: PartKind, text: str, glyph: str = "", tone: Tone = "text") -> Iterator[CardPart]:
    """A text with its beginning only where it is long."""
    shown = beginning_of(text, LONGEST_MESSAGE, MESSAGE_LINES)
    if shown.text.strip():
        whole = text if shown.left_out else ""
        yield CardPart(kind, plain(shown.text.strip("\n")), glyph, tone, whole, shown.left_out)


def terminal_part(text: str) -> Iterator[CardPart]:
    """The end of what a program wrote."""
    shown = end_of(text, LONGEST_OUTPUT, OUTPUT_LINES)
    if shown.text.strip():
        yield CardPart("mono", of_terminal(shown.text), "", "text", text if shown.left_out else "", shown.left_out)


def json_part(text: str) -> Iterator[CardPart]:
    """JSON in lines, as far as it is short; else as it came."""
    shown = text
    if len(text) <= LONGEST_JSON:
        import msgspec

        try:
            shown = msgspec.json.format(text.encode("utf-8", "surrogatepass"), indent=2).decode("utf-8", "replace")
        except (msgspec.DecodeError, ValueError):
            shown = text
    part = beginning_of(shown, LONGEST_JSON, JSON_LINES)
    if part.text.strip():
        yield CardPart("mono", plain(part.text), "", "text", shown if part.left_out else "", part.left_out)
