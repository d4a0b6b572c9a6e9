"""The editor of an object whose names are free."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtWidgets import QGridLayout, QWidget

from app.core.mcp.forms.fields import FieldKind
from app.core.mcp.forms.model import FieldEntry, Presence
from app.ui.servers.entries_editor import EntriesEditor
from app.ui.servers.field_editors import scalar_editor
from app.ui.servers.nested_json import object_of, problem_of, text_of
from app.ui.theme import theme, tokens
from app.ui.translation import translate
from app.ui.widgets.bounded_text import beginning
from app.ui.widgets.buttons import IconButton
from app.ui.widgets.fields import FieldError
from app.ui.widgets.focus_chain import first_stop, reveal
from app.ui.widgets.text_field import TextField

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.mcp.forms.model import FormModel
    from app.ui.servers.object_editor import MakeRow

# Kinds whose editor stands beside the name. Others stand below it, with buttons for null or JSON.
BESIDE = {FieldKind.TEXT, FieldKind.INTEGER, FieldKind.NUMBER, FieldKind.BOOLEAN, FieldKind.CHOICE, FieldKind.CONST}
NAME_LIMIT = 60


@dataclass(frozen=True)
class Pair:
    """A name and its value. `typed` is False while a new one has no name yet."""

    name: str
    entry: FieldEntry
    typed: bool = True


class MapEditor(EntriesEditor[Pair]):
    """Names and values, one below the other. Calls `put` with their JSON text.

    `model` has one field, the value. A name that is there twice, and one that is not typed yet, is said and not sent.
    """

    def __init__(
        self,
        model: FormModel,
        pairs: list[tuple[str, FieldEntry]],
        name: str,
        put: Callable[[str], None],
        make_row: MakeRow,
    ) -> None:
        self._model, self._make_row = model, make_row
        super().__init__(
            [Pair(*pair) for pair in pairs], name, put, translate("MapEditor", "Add entry"), tokens.CONTROL
        )

    @property
    def pairs(self) -> list[Pair]:
        """The pairs, in their order."""
        return self._entries

    def row(self, place: int) -> PairRow:
        """The row of a pair. Raises `IndexError`."""
        row = self._column.part(place)
        assert isinstance(row, PairRow)
        return row

    def add(self) -> None:
        """Add a pair. Its name gets the focus."""
        entry = self._model.seed().entry(self._model.fields[0].name)
        self.insert(len(self.pairs), Pair("", replace(entry, presence=Presence.VALUE), typed=False))

    def find_problems(self) -> int:
        """Say what is wrong with names and values. Returns how many pairs are wrong."""
        wrong = self._problems()
        for place, problem in wrong.items():
            self.row(place).say(problem)
        return len(wrong)

    def take_focus(self) -> None:
        """Put the focus on the first pair that is wrong, else on the first one."""
        self._focus(next(iter(self._problems()), 0))

    def _focus(self, place: int) -> None:
        target = first_stop(self.row(place)) if 0 <= place < len(self._column) else None
        (target or self._add).setFocus(Qt.FocusReason.OtherFocusReason)
        reveal(target or self._add)

    def _problems(self) -> dict[int, str]:
        """What is wrong with pairs, by their places."""
        names, item = self._names(), self._model.fields[0]
        said = (self._name_problem(pair, names) or problem_of(item, pair.entry) for pair in self.pairs)
        return {place: problem for place, problem in enumerate(said) if problem}

    def _names(self) -> Counter[str]:
        return Counter(pair.name for pair in self.pairs if pair.typed)

    def _name_problem(self, pair: Pair, names: Counter[str]) -> str:
        if not pair.typed:
            return self.tr("Type a name.")
        if names[pair.name] > 1:
            return self.tr("The name “{0}” is there twice.").format(beginning(pair.name, NAME_LIMIT))
        return ""

    def _text(self, entry: Pair) -> str:
        return text_of(self._model.fields[0], entry.entry)

    def _removed_words(self, place: int, entry: Pair) -> str:
        return self.tr("“{0}” removed").format(beginning(entry.name, NAME_LIMIT)) if entry.typed else ""

    def _words(self, first: int, last: int) -> str:
        return self.tr("{0}, entries {1} to {2}").format(self._name, first, last)

    def _make(self, place: int) -> QWidget:
        number = QLocale().toString(place + 1)
        row = PairRow(
            self._model, self.pairs[place], self.tr("{0}, entry {1}").format(self._name, number), self._make_row
        )
        row.changed.connect(lambda pair: self._edited(row, pair))
        row.removed.connect(lambda: self.remove(self._column.place_of(row)))
        return row

    def _edited(self, row: PairRow, pair: Pair) -> None:
        place = self._column.place_of(row)
        self._set(place, pair)
        self._changed()

    def _changed(self) -> None:
        """Names that are there twice are said at once, because two rows are concerned."""
        names = self._names()
        for place, row in self._column.made_from(0):
            assert isinstance(row, PairRow)
            pair = self.pairs[place]
            row.say(self._name_problem(pair, names) if pair.typed else "")
        texts = zip(self.pairs, self._texts, strict=True)
        self._put(object_of((pair.name, text if pair.typed else f"‹{text}›") for pair, text in texts))


class PairRow(QWidget):
    """A name, its value, and the button that removes both."""

    changed = Signal(object)
    removed = Signal()

    def __init__(self, model: FormModel, pair: Pair, words: str, make_row: MakeRow) -> None:
        super().__init__()
        self._pair = pair
        item = model.fields[0]
        self.key = TextField(self.tr("{0}, name").format(words), pair.name)
        self.key.setPlaceholderText(self.tr("Name"))
        self.key.edited.connect(self._named)
        beside = item.kind in BESIDE and not item.nullable and not pair.entry.as_json
        self.value: QWidget
        if beside:
            name = self.tr("{0}, value").format(words)
            self.value = scalar_editor(item.kind, item.choices, pair.entry.text, name, self._typed)
        else:
            row = make_row(model, 0, pair.entry, "")
            row.changed.connect(self._entered)
            self.value = row
        remove = IconButton(self.tr("Remove {0}").format(words), "cross", clicked=self.removed.emit)
        self._error = FieldError(self.key)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(theme().px(tokens.SPACE_1))
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 2 if beside else 0)
        grid.addWidget(self.key, 0, 0, Qt.AlignmentFlag.AlignTop)
        if beside:
            grid.addWidget(self.value, 0, 1, Qt.AlignmentFlag.AlignTop)
        else:
            grid.addWidget(self.value, 1, 0, 1, 3)
        grid.addWidget(remove, 0, 2, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(self._error, 2, 0, 1, 3)

    def say(self, problem: str) -> None:
        """Show a problem; empty for none."""
        self._error.say(problem)

    def problem(self) -> str:
        """The problem that is shown."""
        return self._error.text()

    def _named(self, name: str) -> None:
        self._put(replace(self._pair, name=name, typed=True))

    def _typed(self, text: str) -> None:
        self._entered(replace(self._pair.entry, presence=Presence.VALUE, text=text))

    def _entered(self, entry: FieldEntry) -> None:
        self._put(replace(self._pair, entry=entry))

    def _put(self, pair: Pair) -> None:
        self._pair = pair
        self.changed.emit(pair)
