"""RunViews: the transcript of a task's run, what it changed, and the details of the task, one behind the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.choices import Select, TabStrip
from app.ui.widgets.guard import guarded
from app.ui.widgets.hairline import Hairline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QKeyEvent

    from app.core.posthog.types import TaskRun
    from app.ui.tasks.detail import TaskPage
    from app.ui.tasks.run_changes import RunChangesView
    from app.ui.transcript.page import TranscriptPage

TRANSCRIPT, CHANGES, DETAILS = 0, 1, 2


class RunViews(QWidget):
    """`turned(int)`: the person chose a tab. `run_chosen(run_id)`: the person chose a run. `shown()`: it came into view
    or turned to another tab. Transcript and changes are built when first shown, which `transcript_built` and
    `changes_built` tell.
    """

    turned = Signal(int)
    run_chosen = Signal(str)
    seen = Signal()
    transcript_built = Signal(object)
    changes_built = Signal(object)

    def __init__(self, details: TaskPage, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.details = details
        self._transcript: TranscriptPage | None = None
        self._changes: RunChangesView | None = None
        self._run_ids: tuple[str, ...] = ()
        current = theme()
        self.tabs = TabStrip(
            [self.tr("Transcript"), self.tr("Changes"), self.tr("Details")], self.tr("Views of the task")
        )
        self.tabs.setCurrentIndex(DETAILS)
        self.tabs.currentChanged.connect(self._show_tab)
        self.tabs.tabBarClicked.connect(self._clicked)
        # In a narrow pane the words of the run are cut, not the names of the tabs.
        self.tabs.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self.runs = Select(self.tr("Run"))
        self.runs.setMinimumContentsLength(8)
        self.runs.setVisible(False)
        self.runs.activated.connect(self._chosen)
        wide, gap = current.px(tokens.SPACE_4), current.px(tokens.SPACE_2)
        head = QVBoxLayout()
        head.setContentsMargins(wide, current.px(tokens.SPACE_3), wide, 0)
        head.setSpacing(current.px(tokens.SPACE_1))
        # The title of the task stands above both.
        head.addWidget(details.title)
        row = QHBoxLayout()
        row.setSpacing(gap)
        row.addWidget(self.tabs, 1)
        row.addWidget(self.runs)
        head.addLayout(row)
        self.stack = QStackedWidget()
        self._room = QWidget()
        self.stack.addWidget(self._room)
        self.stack.addWidget(details)
        self.stack.setCurrentWidget(details)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addLayout(head)
        box.addWidget(Hairline())
        box.addWidget(self.stack, 1)
        details.windowTitleChanged.connect(self.setWindowTitle)
        details.edit_wanted.connect(lambda _names: self.turn_to(DETAILS))
        details.card.shown.connect(lambda shown: self.turn_to(DETAILS) if shown else None)

    @property
    def transcript(self) -> TranscriptPage:
        """The page of the run."""
        if self._transcript is None:
            # Not needed for the first paint.
            from app.ui.transcript.page import TranscriptPage

            page = self._transcript = TranscriptPage()
            self.stack.insertWidget(TRANSCRIPT, page)
            self.stack.removeWidget(self._room)
            self.transcript_built.emit(page)
        return self._transcript

    @property
    def changes(self) -> RunChangesView:
        """What the run changed."""
        if self._changes is None:
            from app.ui.tasks.run_changes import RunChangesView

            self._changes = RunChangesView()
            self.stack.addWidget(self._changes)
            self.changes_built.emit(self._changes)
        return self._changes

    @property
    def shows_changes(self) -> bool:
        """Whether the changes are before the others."""
        return self.tabs.currentIndex() == CHANGES

    @property
    def has_transcript(self) -> bool:
        """Whether the page of the run was built."""
        return self._transcript is not None

    @property
    def shows_transcript(self) -> bool:
        """Whether the transcript is before the details."""
        return self.tabs.currentIndex() == TRANSCRIPT

    def areas(self) -> Sequence[QWidget]:
        """Where the agent is answered, for F6."""
        page = self._transcript if self.shows_transcript else None
        return () if page is None else (page.ask, page.reply)

    def turn_to(self, tab: int) -> None:
        """Bring a tab into view."""
        self.tabs.setCurrentIndex(tab)

    def show_runs(self, runs: Sequence[TaskRun], shown: str) -> None:
        """Offer these runs, the latest first; `shown` is the id of that in view."""
        from app.ui.tasks.run_facts import run_words

        ids = tuple(run.id for run in runs)
        words = [run_words(run) for run in runs]
        if ids != self._run_ids or words != [self.runs.itemText(place) for place in range(self.runs.count())]:
            self._run_ids = ids
            self.runs.clear()
            self.runs.addItems(words)
        self.runs.setCurrentIndex(ids.index(shown) if shown in ids else -1)
        self.runs.setVisible(len(ids) > 1 and self.tabs.currentIndex() != DETAILS)

    def focus_first(self) -> None:
        """Put the focus on what is in view."""
        if self.shows_transcript:
            self.transcript.focus_first()
        elif self.shows_changes:
            self.tabs.setFocus()
        else:
            self.details.focus_first()

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        # The details do this by themselves.
        if event.key() == Qt.Key.Key_Escape and event.modifiers() == Qt.KeyboardModifier.NoModifier:
            self.details.left.emit()
        else:
            super().keyPressEvent(event)

    def _show_tab(self, tab: int) -> None:
        shown = self.transcript if tab == TRANSCRIPT else self.changes if tab == CHANGES else self.details
        self.stack.setCurrentWidget(shown)
        self.runs.setVisible(len(self._run_ids) > 1 and tab != DETAILS)
        self.seen.emit()

    def _clicked(self, tab: int) -> None:
        if tab >= 0:
            self.turned.emit(tab)

    def _chosen(self, place: int) -> None:
        if 0 <= place < len(self._run_ids):
            self.run_chosen.emit(self._run_ids[place])
