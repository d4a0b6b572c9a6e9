"""The left part of the place: filter, view menu, list, paging and undo."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QHBoxLayout, QMenu, QSizePolicy, QStackedWidget, QWidget

from app.core.auth.status import CredentialState
from app.core.errors import NotConnectable, Offline, SignInNeeded
from app.ui.tasks.cache import RECENT_ACTIVITY
from app.ui.tasks.failures import FailureNote
from app.ui.tasks.preferences import NEWEST
from app.ui.tasks.rows import PENDING, TASK, Grouping, RowCache, build_groups
from app.ui.tasks.table import TaskTable
from app.ui.tasks.wording import TaskGroup, needs_you, send_group
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.feedback import Banner, EmptyState, ProgressLine
from app.ui.widgets.fields import FilterField
from app.ui.widgets.guard import guarded
from app.ui.widgets.menus import CheckMenu
from app.ui.widgets.page import SidePane
from app.ui.widgets.question import InlineQuestion
from app.ui.widgets.text import Text
from app.ui.widgets.times import relative, ticker
from app.ui.widgets.undo import UndoBar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PySide6.QtGui import QKeyEvent

    from app.core.backend import Backend
    from app.core.errors import BurrowError
    from app.ui.tasks.controller import TaskController
    from app.ui.tasks.drafts import TaskDrafts
    from app.ui.tasks.outbox import OutboxSender
    from app.ui.tasks.preferences import ListPreferences
    from app.ui.widgets.undo import UndoKind

LOADING_WORDS_AFTER_MS = 2000
SIGNED_OUT_STATES = frozenset({CredentialState.SIGNED_OUT, CredentialState.NEEDS_SIGN_IN})
JUST_NOW_SECONDS = 60.0


class TaskPane(SidePane):
    """Emits `chosen(keys)` when the person selected rows, `opened(key)` on Enter or double click; keys as in `rows`.

    `rows_shown` when the rows were built, `list_changed` when the person chose another list: filter, groups, archive,
    `several_left` on Esc while several rows are selected.
    """

    chosen = Signal(object)
    rows_shown = Signal()
    list_changed = Signal()
    several_left = Signal()
    opened = Signal(object)
    new_wanted = Signal()
    sign_in_wanted = Signal()
    rename_wanted = Signal()
    delete_wanted = Signal()
    needs_you = Signal(int)

    def __init__(
        self,
        controller: TaskController,
        outbox: OutboxSender,
        drafts: TaskDrafts,
        preferences: ListPreferences,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(self.tr("Tasks"), parent)
        self._controller = controller
        self._outbox = outbox
        self._drafts = drafts
        self._preferences = preferences
        self._rows = RowCache()
        # The tasks whose runs wait for an answer.
        self._asking: frozenset[str] = frozenset()
        # What the empty page shows. To show the same again would replace its buttons and take the focus from them.
        self._shown_empty: tuple[str, str, int] | None = None
        self._loading_words = QTimer(self, singleShot=True, interval=LOADING_WORDS_AFTER_MS)
        self._loading_words.timeout.connect(self._show_list)
        # However many signals arrive in a turn of the loop, the rows are built once.
        self._rows_soon = QTimer(self, singleShot=True, interval=0)
        self._rows_soon.timeout.connect(self._show_rows)
        self._build()
        for key in preferences.folded:
            self.table.rows.set_folded(key, True)
        self.table.rows.folded_changed.connect(preferences.set_folded)
        controller.changed.connect(self._rows_soon.start)
        controller.load_changed.connect(self._show_load)
        outbox.changed.connect(self._rows_soon.start)
        drafts.changed.connect(self._rows_soon.start)
        controller.undoable.connect(self.undo.add)
        controller.not_undoable.connect(self.undo.withdraw)
        ticker().tick.connect(self._rows_soon.start)
        self._show_load()

    def show_now(self) -> None:
        """Update the rows now instead of in the next turn of the loop."""
        self._rows_soon.stop()
        self._show_rows()

    def set_asking(self, asking: frozenset[str]) -> None:
        """The runs of these tasks wait for an answer."""
        self._asking = asking
        self._rows_soon.start()

    def show_session(self) -> None:
        """The sign-in changed: it may be the reason why there is no list."""
        self._show_list()

    def reset(self) -> None:
        """Another account or project: clear filter and selection."""
        self.filter.set_text_quietly("")
        self._archived.setChecked(False)
        self.table.show_selected(())
        self.question.withdraw()
        self.undo.drop()
        self.show_now()
        self.table.scrollToTop()

    def clear_filter(self) -> None:
        """Show everything again."""
        self.filter.clear_now()
        self._controller.set_query(search="", archived=False)
        self._archived.setChecked(False)
        self._show_other_list()

    def set_grouping(self, grouping: Grouping) -> None:
        self._preferences.grouping = grouping
        self._group_actions[grouping].setChecked(True)
        self._show_other_list()

    def set_archived(self, archived: bool) -> None:
        self._archived.setChecked(archived)
        self._controller.set_query(archived=archived)
        self._show_other_list()

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc takes one step back: the filter is cleared, then the focus goes to the list."""
        if event.key() != Qt.Key.Key_Escape or event.modifiers() != Qt.KeyboardModifier.NoModifier:
            super().keyPressEvent(event)
        elif len(self.table.selected_keys()) > 1:
            self.several_left.emit()
        elif self.filter.text():
            self.clear_filter()
        elif self.filter.hasFocus():
            self._enter_list()
        else:
            event.ignore()

    def _show_other_list(self) -> None:
        self.show_now()
        self.table.scrollToTop()
        self.list_changed.emit()

    def ask_from_second(self, kind: UndoKind, words: str, yes: str, act: Callable[[], None]) -> None:
        """Do it, but ask first while an earlier action of this kind can still be undone.

        Several in a row may be a slip, and what they were about is seen in the bar only.
        """
        if self.undo.holds(kind):
            self.question.ask(words, yes, act)
        else:
            act()

    @property
    def archived(self) -> bool:
        return self._archived.isChecked()

    def _build(self) -> None:
        current = theme()
        self.new_button = PrimaryButton(self.tr("New task"), "plus", keys="Ctrl+N", clicked=self.new_wanted.emit)
        self.view_button = QuietButton(self.tr("View"), "filter", kind="flat")
        self.view_button.setAccessibleName(self.tr("View: grouping, order, archive"))
        self.view_button.setMenu(self._view_menu())
        self.filter = FilterField(self.tr("Filter tasks  (/)"))
        self.filter.setAccessibleName(self.tr("Filter tasks"))
        self.filter.textChanged.connect(self._filtered)
        self.filter.down.connect(self._enter_list)
        self.progress = ProgressLine(self.tr("Loading tasks"))
        self.archive_sign = _ShortBanner()
        self.note = Banner()
        self.failures = FailureNote(self._controller.cache.get)
        self.table = TaskTable(self.tr("Tasks"), two_lines=True, multi=True, align_glyphs=True)
        self.table.chosen.connect(self.chosen)
        self.table.refolded.connect(self.rows_shown)
        self.table.opened.connect(self.opened)
        self.table.rename.connect(self.rename_wanted)
        self.table.delete.connect(self.delete_wanted)
        self.table.need_more.connect(self._near_end)
        self.table.left_upwards.connect(lambda: self.filter.setFocus(Qt.FocusReason.BacktabFocusReason))
        self.empty = EmptyState()
        self._loading = EmptyState()
        self._loading.setAccessibleName(self.tr("Loading tasks"))
        self.stack = QStackedWidget()
        for part in (self.table, self.empty, self._loading):
            self.stack.addWidget(part)
        self.count = Text(role="caption", tone="muted")
        self.count.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.more = QuietButton(self.tr("Load more"), kind="flat", clicked=self._controller.load_more)
        self._foot = QWidget()
        foot = QHBoxLayout(self._foot)
        foot.setContentsMargins(current.px(tokens.SPACE_3), 0, current.px(tokens.SPACE_1), current.px(tokens.SPACE_1))
        foot.addWidget(self.count, 1)
        foot.addWidget(self.more)
        self.undo = UndoBar()
        self.question = InlineQuestion()
        self.box.setSpacing(0)
        self.set_head(self.new_button, self.view_button)
        self.box.addSpacing(current.px(tokens.SPACE_2))
        self.add_padded(self.filter)
        self.box.addSpacing(current.px(tokens.SPACE_2) - tokens.SELECTION_BAR)
        self.box.addWidget(self.progress)
        self.box.addWidget(self.archive_sign)
        self.box.addWidget(self.note)
        self.box.addWidget(self.failures)
        self.box.addWidget(self.stack, 1)
        self.box.addWidget(self._foot)
        self.box.addWidget(self.question)
        self.box.addWidget(self.undo)

    def _view_menu(self) -> QMenu:
        menu = CheckMenu(parent=self)
        menu.setAccessibleName(self.tr("View"))
        self._group_actions: dict[Grouping, QAction] = {}
        groups = QActionGroup(menu)
        menu.add_heading(self.tr("Group by"))
        for grouping, words in (
            (Grouping.STATE, self.tr("State")),
            (Grouping.REPOSITORY, self.tr("Repository")),
            (Grouping.NONE, self.tr("Nothing")),
        ):
            action = groups.addAction(words)
            action.setCheckable(True)
            action.setChecked(grouping is self._preferences.grouping)
            action.triggered.connect(lambda _checked=False, grouping=grouping: self.set_grouping(grouping))
            self._group_actions[grouping] = action
            menu.addAction(action)
        orders = QActionGroup(menu)
        menu.add_heading(self.tr("Order"))
        for ordering, words in ((NEWEST, self.tr("Newest first")), (RECENT_ACTIVITY, self.tr("Latest activity first"))):
            action = orders.addAction(words)
            action.setCheckable(True)
            action.setChecked(ordering == self._preferences.ordering)
            action.triggered.connect(lambda _checked=False, ordering=ordering: self._order(ordering))
            menu.addAction(action)
        menu.addSeparator()
        self._archived = menu.addAction(self.tr("Show archived"))
        self._archived.setCheckable(True)
        self._archived.triggered.connect(self.set_archived)
        return menu

    def _order(self, ordering: str) -> None:
        self._preferences.ordering = ordering
        self._controller.set_query(ordering=ordering)
        self._show_other_list()

    def _filtered(self, text: str) -> None:
        self._controller.set_query(search=text)
        self._show_other_list()

    def _enter_list(self) -> None:
        if self.table.rows.rowCount():
            self.table.setFocus(Qt.FocusReason.TabFocusReason)

    def _near_end(self) -> None:
        # Only once the user has scrolled: the end of a short list is always near.
        if self.table.verticalScrollBar().value() > 0:
            self._controller.load_more()

    def _show_rows(self) -> None:
        controller = self._controller
        tasks = controller.cache.visible(controller.query)
        local = not controller.query.archived and not controller.query.search
        pending = self._outbox.pending if local else ()
        self.table.set_groups(
            build_groups(
                tasks,
                pending,
                grouping=self._preferences.grouping,
                pinned=controller.cache.is_pinned,
                ordering=controller.query.ordering,
                cache=self._rows,
                drafts=self._drafts.all if local else (),
                asking=self._asking,
            )
        )
        self._show_archive_sign()
        self.rows_shown.emit()
        waiting = sum(1 for item in self._outbox.pending if send_group(item.state) is TaskGroup.NEEDS_YOU)
        self.needs_you.emit(waiting + sum(1 for task in controller.cache.all() if needs_you(task, self._asking)))
        self._show_list()
        listing, total = controller.cache.listing(controller.query), controller.cache.total(controller.query)
        more = listing is not None and listing.next is not None
        self._foot.setVisible(more)
        if more:
            self.count.setText(self.tr("{0} of {1}").format(len(tasks), max(total or 0, len(tasks))))
            self.more.setText(self.tr("Loading…") if controller.load.more_busy else self.tr("Load more"))
            self.more.setAccessibleName(f"{self.more.text()} ({self.count.text()})")
            self.more.setEnabled(not controller.load.more_busy)

    def _show_archive_sign(self) -> None:
        """The archive looks like the list that it replaces: say so, and how to go back."""
        if self._controller.query.archived == self.archive_sign.isVisibleTo(self):
            return
        if self._controller.query.archived:
            back = (self.tr("Back to tasks"), lambda: self.set_archived(False))
            self.archive_sign.show_message(self.tr("Archived tasks"), "info", secondary=[back], glyph="archive")
        else:
            self.archive_sign.clear()

    def _show_load(self) -> None:
        load = self._controller.load
        if load.busy or load.more_busy:
            self.progress.start()
        else:
            self.progress.stop()
        if load.busy and not load.loaded and load.stored_at is None:
            if not self._loading_words.isActive():
                self._loading_words.start()
        else:
            self._loading_words.stop()
        self._show_list()

    def _show_list(self) -> None:
        """Show the list with a note above it, or the reason why there is none."""
        load = self._controller.load
        if self.table.rows.rowCount():
            self.stack.setCurrentWidget(self.table)
            self._show_note(load.error)
            return
        self.note.clear()
        if self._controller.backend is None:
            self._show_no_project(self._controller.connected_to)
        elif load.error is not None:
            self._show_error(load.error)
        elif self._controller.query.search:
            if load.busy:
                self._show_empty(self.tr("Searching…"), "", glyph="search")
            else:
                words = self.tr("No tasks match “{0}”").format(self._controller.query.search)
                self._show_empty(words, "", [(self.tr("Clear filter"), self.clear_filter)], glyph="search")
        elif load.busy or not load.loaded:
            # A quick answer shows no words at all.
            late = load.busy and not self._loading_words.isActive() and not load.loaded
            self._loading.show_state(self.tr("Loading tasks…") if late else "")
            self.stack.setCurrentWidget(self._loading)
        elif self._controller.query.archived:
            self._show_empty(self.tr("The archive is empty"), "", glyph="archive")
        else:
            self._show_empty(
                self.tr("No tasks yet"),
                self.tr("Describe what should be done; an agent can then run it."),
                [(self.tr("New task"), self.new_wanted.emit)],
                glyph="tasks",
            )

    def _show_empty(self, title: str, text: str, actions: Sequence[tuple[str, object]] = (), *, glyph: str) -> None:
        shown = (title, text, len(actions))
        if shown != self._shown_empty:
            self._shown_empty = shown
            self.empty.show_state(title, text, actions, glyph=glyph)  # type: ignore[arg-type]
        self.stack.setCurrentWidget(self.empty)

    def _show_no_project(self, backend: Backend | None) -> None:
        """Say why nothing can be requested: not connected, not signed in, or account and project not known yet."""
        if backend is None:
            self._show_empty(self.tr("Not connected"), self.tr("Connect to a server to see its tasks."), glyph="tasks")
        elif backend.credential.status.state in SIGNED_OUT_STATES:
            self._show_error(SignInNeeded())
        elif backend.account is not None:
            self._show_empty(
                self.tr("No project"), self.tr("This account has no project on this server."), glyph="project"
            )
        else:
            signed_in = backend.credential.status.state is CredentialState.SIGNED_IN
            self._loading.show_state(self.tr("Loading tasks…") if signed_in else self.tr("Signing in…"))
            self.stack.setCurrentWidget(self._loading)

    def _show_error(self, error: BurrowError) -> None:
        if isinstance(error, SignInNeeded):
            self._show_empty(
                self.tr("Sign in to see tasks"),
                error.advice,
                [(self.tr("Sign in"), self.sign_in_wanted.emit)],
                glyph="key",
            )
        elif isinstance(error, Offline) and not isinstance(error, NotConnectable):
            self._show_empty(
                self.tr("Offline"),
                self.tr("Nothing is saved on this computer yet. Burrow tries again by itself."),
                [(self.tr("Try again"), self._controller.refresh)],
                glyph="offline",
            )
        else:
            cause = error.cause if error.cause != error.title else ""
            self._show_empty(
                error.title,
                f"{cause} {error.advice}".strip(),
                [(self.tr("Try again"), self._controller.refresh)],
                glyph="warning",
            )

    def _show_note(self, error: BurrowError | None) -> None:
        load = self._controller.load
        if error is None:
            self.note.clear()
            return
        saved = self.tr("Showing the last list.")
        if load.stored_at is not None:
            stored = datetime.fromtimestamp(load.stored_at, UTC)
            fresh = (datetime.now(UTC) - stored).total_seconds() < JUST_NOW_SECONDS
            when = self.tr("a moment ago") if fresh else relative(stored)
            saved = self.tr("Showing the list saved {0}.").format(when)
        if isinstance(error, SignInNeeded):
            self.note.show_message(saved, "info", glyph="clock")
        elif isinstance(error, Offline) and not isinstance(error, NotConnectable):
            self.note.show_message(self.tr("Offline. {0}").format(saved), "attention", glyph="offline")
        else:
            self.note.show_message(
                f"{error.title}. {saved}", "attention", secondary=[(self.tr("Try again"), self._controller.refresh)]
            )


class _ShortBanner(Banner):
    """For a few words, which have room beside their button in a narrow list."""

    LEAST_WORDS = 110


def task_id_of(key: str) -> str | None:
    """The id of the task of a row; None for another row."""
    return key[len(TASK) :] if key.startswith(TASK) else None


def pending_id_of(key: str) -> str | None:
    """The id of the unsent task of a row; None for another row."""
    return key[len(PENDING) :] if key.startswith(PENDING) else None
