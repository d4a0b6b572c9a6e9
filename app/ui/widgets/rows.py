"""The rows of a list and their model, which turns a new snapshot into the smallest change of the view."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from app.ui.widgets.guard import guarded
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.ui.theme.state import State

Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `key` is its identity: selection follows it.

    One-line lists paint glyph, title, then word, `badge` and `trailing` at the right; two-line lists put the
    state's word and `detail` below. `side` is a second state at the right (a tool's policy). `accessible` replaces
    what is read aloud; `tooltip` is plain text, or makes it when somebody looks.
    """

    key: str
    title: str
    detail: str = ""
    state: State | None = None
    side: State | None = None
    badge: str = ""
    trailing: str = ""
    level: int = 0
    struck: bool = False
    muted: bool = False
    mono: bool = False
    accessible: str = ""
    # Not compared: a function is another object each time and would make every row look changed.
    tooltip: str | Callable[[], str] = field(default="", compare=False)

    def spoken(self) -> str:
        """What assistive technology reads."""
        if self.accessible:
            return self.accessible
        states = [state.word for state in (self.state, self.side) if state is not None]
        return ", ".join(part for part in (self.title, *states, self.badge, self.detail, self.trailing) if part)

    def hint(self) -> str:
        """The tooltip: what may be elided in the row, then `tooltip` as far as it says more."""
        more = self.tooltip() if callable(self.tooltip) else self.tooltip
        words = [each for each in (self.title, self.detail) if each and each not in more]
        return "\n".join(filter(None, [*words, more]))


class Group(NamedTuple):
    """Rows under a heading that can be folded. `note` stands at the right of the heading."""

    key: str
    title: str
    rows: tuple[Row, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Heading:
    """A group's heading as a row."""

    key: str
    title: str
    count: int
    folded: bool
    note: str = ""

    def spoken(self) -> str:
        return f"{self.title}, {self.count}"


Line = Row | Heading


class RowModel(QAbstractTableModel):
    """One column of rows and headings."""

    folded_changed = Signal(str, bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._groups: tuple[Group, ...] = ()
        self._lines: list[Line] = []
        self._folded: set[str] = set()
        self._places: dict[str, int] | None = None

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show a flat list."""
        self._groups = (Group("", "", tuple(rows)),)
        self._show()

    def set_groups(self, groups: Sequence[Group]) -> None:
        """Show rows under headings; groups without rows are left out. What was folded stays folded, by key."""
        self._groups = tuple(groups)
        self._show()

    def set_folded(self, key: str, folded: bool) -> None:
        """Fold or open a group."""
        if (key in self._folded) == folded:
            return
        (self._folded.add if folded else self._folded.discard)(key)
        self._show()
        self.folded_changed.emit(key, folded)

    def line(self, row: int) -> Line | None:
        """The line in a row of the view."""
        return self._lines[row] if 0 <= row < len(self._lines) else None

    def lines(self) -> Sequence[Line]:
        """Everything shown, in order."""
        return self._lines

    def place(self, key: str) -> int:
        """The row of the view with that key, -1 when it is not shown."""
        # Made when it is asked for: many changes of a long list are never followed by a question for a key.
        if self._places is None:
            self._places = {line.key: number for number, line in enumerate(self._lines) if isinstance(line, Row)}
        return self._places.get(key, -1)

    def row(self, key: str) -> Row | None:
        """The row of a key, shown or folded away."""
        place = self.place(key)
        if place >= 0:
            found = self._lines[place]
            return found if isinstance(found, Row) else None
        return next((row for group in self._groups for row in group.rows if row.key == key), None)

    def reveal(self, key: str) -> None:
        """Open the group that holds a key."""
        for group in self._groups:
            if group.key in self._folded and any(row.key == key for row in group.rows):
                self.set_folded(group.key, False)

    def _show(self) -> None:
        lines: list[Line] = []
        for group in self._groups:
            if group.title and group.rows:
                folded = group.key in self._folded
                lines.append(Heading(group.key, group.title, len(group.rows), folded, group.note))
                if folded:
                    continue
            lines.extend(group.rows)
        self._replace(lines)

    def _replace(self, new: list[Line]) -> None:
        """Change the lines with as few signals as a comparison from both ends finds.

        What lies between the common beginning and the common end is removed and inserted as one block. At each signal
        the model has exactly the rows that it has announced, because views ask for them at once.
        """
        old = self._lines
        shared = min(len(old), len(new))
        head = 0
        while head < shared and _same(old[head], new[head]):
            head += 1
        tail = 0
        while tail < shared - head and _same(old[-1 - tail], new[-1 - tail]):
            tail += 1
        self._places = None
        removed, inserted = len(old) - tail - head, len(new) - tail - head
        if removed:
            self.beginRemoveRows(QModelIndex(), head, head + removed - 1)
            self._lines = old[:head] + old[len(old) - tail :]
            self.endRemoveRows()
        if inserted:
            self.beginInsertRows(QModelIndex(), head, head + inserted - 1)
            self._lines = new
            self.endInsertRows()
        changed = [
            number
            for number in (*range(head), *range(len(new) - tail, len(new)))
            if old[number if number < head else number - len(new)] != new[number]
        ]
        self._lines = new
        self._places = None
        # One range for all: painting some rows in vain costs less than a signal for each.
        if changed:
            self.dataChanged.emit(self.index(changed[0], 0), self.index(changed[-1], 0))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._lines)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else 1

    @guarded()
    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        line = self.line(index.row()) if index.isValid() else None
        if line is None:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return line.title
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return line.spoken()
        if isinstance(line, Row):
            if role == Qt.ItemDataRole.AccessibleDescriptionRole:
                return line.detail
            if role == Qt.ItemDataRole.ToolTipRole:
                return plain_tip(line.hint()) or None
        return None

    @guarded(default=Qt.ItemFlag.NoItemFlags)
    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemNeverHasChildren


def _same(first: Line, second: Line) -> bool:
    return first.key == second.key and type(first) is type(second)
