"""ChangesPage: the files that a run changed, what changed in each, and what is to become of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, Signal
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QSplitter, QStackedWidget, QVBoxLayout, QWidget

from app.marks import revealed_name
from app.ui.changes.changes_head import BESIDE, ChangesHead
from app.ui.changes.commit_bar import CommitBar
from app.ui.changes.file_head import FileHead
from app.ui.changes.file_menu import open_file_menu
from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.context_menu import ContextMenu
from app.ui.widgets.diff_view import DiffView
from app.ui.widgets.feedback import EmptyState, InlineCard, ProgressLine
from app.ui.widgets.guard import guarded
from app.ui.widgets.hairline import Hairline
from app.ui.widgets.lists import ListTable
from app.ui.widgets.text import Text
from app.ui.widgets.undo import UndoBar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QKeyEvent, QResizeEvent, QShowEvent

    from app.core.runs.worktrees.run_changes import ChangeList, ListedChange
    from app.ui.widgets.diff_rows import DiffRows
    from app.ui.widgets.feedback import DisplayableError
    from app.ui.widgets.rows import Group

# From these widths on, list and difference stand side by side, and so do both sides of a difference.
WIDE, WIDE_DIFFERENCE = 720, 560
LIST_WIDTH = 260
LEAST_HEIGHT = 90


class ChangesPage(QWidget):
    """Shows what it is given. Its parts: `.files`, `.view`, `.head`, `.commit`, `.undo`, `.card`.

    `looked()`: it should be asked again what changed. `picked(path)`: a file is to be shown. `keep_wanted(paths)`,
    `discard_wanted(paths)`, `open_wanted(path)`, `copy_path_wanted(path)`, `shape_changed()`: the difference is wanted
    in one column instead of two, or the other way round. `chosen(str)`: the person chose `unified` or `beside`.
    `menu_filled(ContextMenu)` before the menu of the page opens.
    """

    looked = Signal()
    picked = Signal(str)
    keep_wanted = Signal(list)
    discard_wanted = Signal(list)
    open_wanted = Signal(str)
    copy_path_wanted = Signal(str)
    shape_changed = Signal()
    chosen = Signal(str)
    menu_filled = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._found: ChangeList | None = None
        self._listed: dict[str, ListedChange] = {}
        self._path = ""
        self._beside = False
        self._build()
        self._arrange()
        self._connect()

    @property
    def path(self) -> str:
        """The file whose difference is shown; empty for none."""
        return self._path

    @property
    def beside(self) -> bool:
        """Whether the difference is wanted in two columns: the person chose that, and there is room."""
        return self._beside

    def listed(self, path: str) -> ListedChange | None:
        """What is known of a file."""
        return self._listed.get(path)

    def set_shape(self, shape: str) -> None:
        """Show what was chosen: `unified` or `beside`."""
        self.shape.set_value(shape)
        self._arrange()

    def show_list(self, found: ChangeList, groups: Sequence[Group]) -> None:
        """Show these files, which are `groups` of the list. The one in view stays in view while it is among them."""
        self._found = found
        self._listed = {each.path: each for each in found.files}
        self.card.clear()
        self.about.show_list(found)
        self.files.set_groups(groups)
        self.commit.show_kept(sum(each.stage == "kept" for each in found.files))
        if not found.files:
            self._show_nothing(
                self.tr("Nothing has changed"), self.tr("What the run changes in its folder appears here.")
            )
            return
        self.body.setCurrentWidget(self.splitter)
        self.commit.setVisible(True)
        if self._path in self._listed:
            self.head.show_file(self._listed[self._path])
        if self.files.current_key() is None and not self.files.select_key(self._path or None, quiet=True):
            self.files.select_first(quiet=True)
        if self._path not in self._listed:
            self._pick(self.files.current_key() or self.files.first_key() or "")

    def show_difference(self, path: str, rows: DiffRows, *, beside: bool, note: str = "", stay: bool = False) -> None:
        """Show what changed in a file; `note` instead where there are no lines to show."""
        listed = self._listed.get(path)
        if listed is None:
            return
        self._path = path
        self.head.setVisible(True)
        self.head.show_file(listed)
        if note:
            self.none.show_state(note)
            self.differences.setCurrentWidget(self.none)
        else:
            self.view.setAccessibleName(self.tr("Difference of {0}").format(revealed_name(path)))
            self.view.show_rows(rows, beside=beside, stay=stay)
            self.differences.setCurrentWidget(self.view)

    def show_trouble(self, trouble: DisplayableError, *, whole: bool = False) -> None:
        """Say what went wrong, in its place; with `whole` there is nothing else to show."""
        if whole:
            self._found = None
            self._show_nothing(trouble.title, f"{trouble.cause} {trouble.advice}".strip(), again=True)
        else:
            self.card.show_error(trouble, [(self.tr("Try again"), self.looked.emit)])

    def show_busy(self, *, busy: bool) -> None:
        """Whether something is under way."""
        self.progress.start() if busy else self.progress.stop()

    def say(self, words: str) -> None:
        """Tell what was done, or why not."""
        self.said.setText(words)
        self.said.setVisible(bool(words))
        if words:
            announce(self, words)

    def focus_first(self) -> None:
        """Put the focus on the files."""
        self.files.setFocus(Qt.FocusReason.ShortcutFocusReason)

    @property
    def shows_lines(self) -> bool:
        """Whether the lines of a difference are in view."""
        return self.differences.currentWidget() is self.view

    def selected(self) -> list[str]:
        """The selected files, else the one in view."""
        return list(self.files.selected_keys()) or ([self._path] if self._path else [])

    def _build(self) -> None:
        current = theme()
        wide, low = current.px(tokens.SPACE_4), current.px(tokens.SPACE_1)
        self.about = ChangesHead()
        self.shape = self.about.shape
        self.progress = ProgressLine(self.tr("Looking for changes"))
        self.undo = UndoBar()
        self.card = InlineCard()
        self.said = Text(tone="muted", wrap=True)
        self.said.setVisible(False)
        self.said.setContentsMargins(wide, low, wide, low)
        self.files = ListTable(self.tr("Changed files"), two_lines=True, multi=True)
        self.head = FileHead()
        self.view = DiffView(self.tr("Difference"))
        self.none = EmptyState()
        self.differences = QStackedWidget()
        self.differences.addWidget(self.none)
        self.differences.addWidget(self.view)
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.head)
        column.addWidget(Hairline())
        column.addWidget(self.differences, 1)
        self.splitter = QSplitter()
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(1)
        self.splitter.addWidget(self.files)
        self.splitter.addWidget(right)
        self.splitter.setStretchFactor(1, 1)
        self.nothing = EmptyState(self.tr("Looking for changes…"))
        self.body = QStackedWidget()
        self.body.setMinimumHeight(current.px(LEAST_HEIGHT))
        self.body.addWidget(self.nothing)
        self.body.addWidget(self.splitter)
        self.commit = CommitBar()
        self.commit.setVisible(False)
        self._line = Hairline()
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        for part in (self.about, self.progress, self.undo, self.card, self.said):
            box.addWidget(part)
        box.addWidget(Hairline())
        box.addWidget(self.body, 1)
        box.addWidget(self._line)
        box.addWidget(self.commit)

    def _connect(self) -> None:
        self.files.picked.connect(self._pick)
        self.files.opened.connect(lambda _key: self._go_into())
        # The list would take Alt with an arrow for the arrow alone.
        self.files.installEventFilter(self)
        self.files.toggled.connect(lambda _key: self.keep(self.selected()))
        self.files.menu_wanted.connect(self._open_file_menu)
        self.view.menu_wanted.connect(lambda at: self._open_file_menu(self._path, at))
        self.view.left_upwards.connect(self.focus_first)
        self.view.said.connect(lambda words: announce(self.view, words))
        self.head.keep_wanted.connect(lambda: self.keep([self._path]))
        self.head.discard_wanted.connect(lambda: self.discard([self._path]))
        self.head.open_wanted.connect(lambda: self.open_wanted.emit(self._path))
        self.head.more_wanted.connect(lambda at: self._open_file_menu(self._path, at))
        self.shape.chosen.connect(self._choose)
        self.about.looked.connect(self.looked)
        self.about.more_wanted.connect(self._open_menu)

    def _pick(self, path: str) -> None:
        if path and path in self._listed and path != self._path:
            self._path = path
            self.head.show_file(self._listed[path])
            self.picked.emit(path)

    def keep(self, paths: list[str]) -> None:
        """Have these files kept, or kept no longer."""
        decided = [each for each in paths if (known := self._listed.get(each)) and known.stage == "open"]
        self.keep_wanted.emit(paths)
        self._go_on(decided)

    def discard(self, paths: list[str]) -> None:
        """Have the changes of these files discarded."""
        self.discard_wanted.emit(paths)
        self._go_on(paths)

    def _go_on(self, decided: list[str]) -> None:
        """Go to the next file that waits for a decision, so that Space after Space decides about all."""
        waiting = [each.path for each in self._listed.values() if each.stage == "open" and each.path not in decided]
        if decided and waiting:
            last = max(decided)
            self.files.select_key(next((each for each in waiting if each > last), waiting[-1]))

    def _go_into(self) -> None:
        if self.shows_lines:
            self.view.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _step(self, by: int) -> None:
        if self.shows_lines:
            # Where there is no further change, the view says so.
            self.view.step_change(by)

    def _choose(self, shape: str) -> None:
        self.chosen.emit(shape)
        self._arrange()

    def _show_nothing(self, title: str, text: str, *, again: bool = False) -> None:
        self._path = ""
        self.nothing.show_state(title, text, [(self.tr("Try again"), self.looked.emit)] if again else [])
        self.body.setCurrentWidget(self.nothing)
        self.commit.setVisible(bool(self.commit.message.text()))

    def _arrange(self) -> None:
        """List and difference side by side where both have room, else one above the other."""
        current = theme()
        beside_each_other = self.width() >= current.px(WIDE)
        way = Qt.Orientation.Horizontal if beside_each_other else Qt.Orientation.Vertical
        if self.splitter.orientation() != way or not self.splitter.property("arranged"):
            self.splitter.setProperty("arranged", True)
            self.splitter.setOrientation(way)
            first = current.px(LIST_WIDTH) if beside_each_other else current.px(3 * tokens.ROW_TWO_LINES)
            whole = self.width() if beside_each_other else max(self.height(), 2 * first)
            self.splitter.setSizes([first, max(1, whole - first)])
        room = self.width() - (current.px(LIST_WIDTH) if beside_each_other else 0)
        fits = room >= current.px(WIDE_DIFFERENCE)
        self.shape.set_locked("" if fits else self.tr("The window is too narrow for two columns."))
        beside = fits and self.shape.value() == BESIDE
        if beside != self._beside:
            self._beside = beside
            self.shape_changed.emit()

    def _open_file_menu(self, path: str, at: QPoint) -> None:
        if path in self._listed:
            open_file_menu(self, path, at)

    def _open_menu(self, at: QPoint) -> None:
        menu = ContextMenu(self.tr("Changes"), self)
        self.menu_filled.emit(menu)
        menu.open_at(at)

    def _own_key(self, event: QKeyEvent) -> Callable[[], None] | None:
        """What a key of this page does, which may be bound to something else in the window."""
        key = event.key()
        typing = self.commit.message.hasFocus()
        bare = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        control = Qt.KeyboardModifier.ControlModifier
        if event.matches(QKeySequence.StandardKey.Undo) and self.undo.open and not typing:
            return self.undo.undo
        if bare == control and key == Qt.Key.Key_R:
            return self.looked.emit
        if bare == control and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            return self.commit.press
        if not self._path:
            return None
        if bare == control and key == Qt.Key.Key_E:
            return lambda: self.open_wanted.emit(self._path)
        if bare == control | Qt.KeyboardModifier.ShiftModifier and key == Qt.Key.Key_C:
            return lambda: self.copy_path_wanted.emit(self._path)
        if bare == Qt.KeyboardModifier.AltModifier and key in (Qt.Key.Key_Down, Qt.Key.Key_Up) and not typing:
            return lambda: self._step(1 if key == Qt.Key.Key_Down else -1)
        if bare == Qt.KeyboardModifier.NoModifier and (self.files.hasFocus() or self.view.hasFocus()):
            if key == Qt.Key.Key_Delete:
                return lambda: self.discard(self._of_focus())
            if key == Qt.Key.Key_Space and self.view.hasFocus():
                return lambda: self.keep([self._path])
        return None

    def _of_focus(self) -> list[str]:
        return self.selected() if self.files.hasFocus() else [self._path]

    @guarded(default=False)
    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.KeyPress and watched is self.files:
            key = cast("QKeyEvent", event)
            act = self._own_key(key) if key.modifiers() & Qt.KeyboardModifier.AltModifier else None
            if act is not None:
                act()
                return True
        return super().eventFilter(watched, event)

    @guarded(default=False)
    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.WindowActivate and self.isVisible():
            # The person comes back, perhaps from their editor.
            self.looked.emit()
        if event.type() == QEvent.Type.ShortcutOverride and self._own_key(cast("QKeyEvent", event)) is not None:
            event.accept()
            return True
        return super().event(event)

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        act = self._own_key(event)
        if act is None:
            super().keyPressEvent(event)
        elif not event.isAutoRepeat() or event.modifiers() & Qt.KeyboardModifier.AltModifier:
            act()

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    @guarded()
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._arrange()
        self.looked.emit()
