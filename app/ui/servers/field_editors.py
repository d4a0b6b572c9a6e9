"""The editors of plain values: text, numbers, yes or no, one of several choices, a fixed value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.mcp.forms.fields import FieldKind
from app.marks import isolated, revealed, revealed_name
from app.ui.servers.wording import tr
from app.ui.theme import theme
from app.ui.widgets.bounded_text import BoundedText, beginning
from app.ui.widgets.choices import Segmented, Select
from app.ui.widgets.search_select import SearchSelect, fit_to_contents
from app.ui.widgets.text_field import TextField

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QWidget

    from app.core.mcp.forms.choices import Choices

    Put = Callable[[str], None]

# A longer list of choices can be searched by typing.
FEW_CHOICES = 7
TALL_LINES = 4
JSON_LINES = 4
# Characters of what a server calls a choice or an argument.
LABEL_LIMIT = 200
NUMBER_WIDTH = 240


def shown_name(name: str) -> str:
    """What a server calls something, for a line: bounded, and with marks for what cannot be seen."""
    return isolated(revealed_name(beginning(name, LABEL_LIMIT)))


def scalar_editor(
    kind: FieldKind | None, choices: Choices, text: str, name: str, put: Put, *, tall: bool = False
) -> QWidget:
    """The editor of one plain value. It calls `put` with the text that the form model expects."""
    match kind:
        case FieldKind.BOOLEAN:
            return _yes_or_no(text, name, put)
        case FieldKind.CONST:
            return _fixed(choices, text, name)
        case FieldKind.CHOICE:
            return _choice(choices, text, name, put)
        case FieldKind.JSON:
            return json_editor(text, name, put)
    field = TextField(name, text, lines=TALL_LINES if tall else 1)
    if kind in {FieldKind.INTEGER, FieldKind.NUMBER}:
        field.setMaximumWidth(theme().px(NUMBER_WIDTH))
    field.edited.connect(put)
    return field


def json_editor(text: str, name: str, put: Put) -> TextField:
    """An editor of JSON text."""
    field = TextField(name, text, lines=JSON_LINES, most=14, mono=True)
    field.setPlaceholderText("JSON")
    field.edited.connect(put)
    return field


def _yes_or_no(text: str, name: str, put: Put) -> QWidget:
    choice = Segmented([("true", tr("Yes"), "", "accent"), ("false", tr("No"), "", "accent")], name)
    choice.set_value(text or None)
    choice.chosen.connect(put)
    return choice


def _fixed(choices: Choices, text: str, name: str) -> QWidget:
    value = choices[0].key if choices else text
    shown = BoundedText(tr("{0}  ·  fixed by the tool").format(isolated(revealed(value))), name=name)
    shown.setAccessibleName(tr("{0}: {1}, fixed by the tool").format(name, shown_name(value)))
    return shown


def _choice(choices: Choices, text: str, name: str, put: Put) -> QWidget:
    select: Select
    if len(choices) > FEW_CHOICES:
        select = SearchSelect(name, len(choices), lambda place: shown_name(choices[place].label), tr("Choose…"))
    else:
        select = Select(name)
        select.setPlaceholderText(tr("Choose…"))
        select.addItems([shown_name(choice.label) for choice in choices])
    # What is chosen goes by its place, never by its text. Most drafts name no choice, and then none is made.
    select.setCurrentIndex(choices.places.get(text, -1) if text else -1)
    fit_to_contents(select)

    def chosen(place: int) -> None:
        if 0 <= place < len(choices):
            put(choices[place].key)

    select.currentIndexChanged.connect(chosen)
    return select
