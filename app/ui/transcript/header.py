"""RunHeader: what a run is doing, for how long, where, with what; and what can be done with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QLocale, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.marks import isolated, revealed_name
from app.ui.theme import theme, tokens
from app.ui.widgets.accessible_roles import give_role
from app.ui.widgets.buttons import IconButton, QuietButton
from app.ui.widgets.guard import guarded
from app.ui.widgets.head_row import HeadRow
from app.ui.widgets.text import ElidedLabel, StatusWord, Text
from app.ui.widgets.times import duration
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from PySide6.QtGui import QHideEvent, QResizeEvent, QShowEvent

    from app.core.runs.items import Usage
    from app.ui.theme.state import State

SECOND_MS = 1000
# From this width on all facts stand in the head.
WIDE = 760


class HeaderFacts(NamedTuple):
    """`began` and `ended` bound the time that is shown; without `ended` it runs. `pull_request` is an https address.

    `stops`: a turn is under way that can be stopped. `folder` is where an agent of this machine works.
    """

    state: State
    began: datetime | None = None
    ended: datetime | None = None
    branch: str = ""
    model: str = ""
    pull_request: str = ""
    usage: Usage | None = None
    stops: bool = False
    folder: str = ""


class RunHeader(QWidget):
    """`stop_wanted()`, `find_wanted()`, `link_wanted(address)`, `more_wanted(global position)`."""

    stop_wanted = Signal()
    find_wanted = Signal()
    link_wanted = Signal(str)
    more_wanted = Signal(QPoint)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facts: HeaderFacts | None = None
        current = theme()
        self.status = StatusWord(role="strong", parent=self)
        give_role(self.status, QAccessible.Role.StaticText)
        self.branch = ElidedLabel(tone="muted")
        self.about = Text(tone="muted")
        self.stop = QuietButton(self.tr("Stop"), "stop", keys="Ctrl+.", clicked=self.stop_wanted.emit)
        self.link = QuietButton(self.tr("Pull request"), "external", clicked=self._open_link)
        self.find_button = IconButton(
            self.tr("Find in transcript"), "search", keys="Ctrl+F", clicked=self.find_wanted.emit
        )
        self.more = IconButton(self.tr("More"), "more", clicked=self._emit_more)
        controls = QWidget()
        row = QHBoxLayout(controls)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(current.px(tokens.SPACE_1))
        for control in (self.stop, self.link, self.find_button, self.more):
            row.addWidget(control)
        self._row = HeadRow([self.status, self.branch, self.about], controls, gap=tokens.SPACE_3)
        self.title = ElidedLabel("", "section", mode=Qt.TextElideMode.ElideRight)
        self.title.setVisible(False)
        self._box = box = QVBoxLayout(self)
        wide = current.px(tokens.SPACE_4)
        box.setContentsMargins(wide, current.px(tokens.SPACE_1), wide, current.px(tokens.SPACE_1))
        box.setSpacing(0)
        box.addWidget(self.title)
        box.addWidget(self._row)
        self._tick = QTimer(self, interval=SECOND_MS)
        self._tick.timeout.connect(self._show_time)

    def set_title(self, title: str) -> None:
        """Name what is run above the rest."""
        self.title.setText(title)
        self.title.setVisible(bool(title))
        top = tokens.SPACE_2 if title else tokens.SPACE_1
        wide, least = theme().px(tokens.SPACE_4), theme().px(tokens.SPACE_1)
        self._box.setContentsMargins(wide, theme().px(top), wide, least)

    def show_facts(self, facts: HeaderFacts | None) -> None:
        """Show these; None for no run."""
        if facts == self._facts:
            return
        self._facts = facts
        self._row.setVisible(facts is not None)
        if facts is None:
            self._tick.stop()
            return
        where = [revealed_name(part) for part in (facts.folder, facts.branch[:200]) if part]
        self.branch.setText("  ·  ".join(map(isolated, where)))
        parts = [revealed_name(facts.model[:80]), usage_words(facts.usage)]
        self.about.setText("  ·  ".join(isolated(part) for part in parts if part))
        self._fit()
        had_focus = self.stop.hasFocus()
        self.stop.setVisible(facts.stops)
        if had_focus and not facts.stops:
            self.more.setFocus()
        self.link.setVisible(bool(facts.pull_request))
        self.link.setToolTip(plain_tip(revealed_name(facts.pull_request)))
        self.link.setAccessibleDescription(facts.pull_request)
        self._show_time()
        self._run_timer()

    def show_stopping(self, stopping: bool) -> None:
        """Whether the turn is being stopped, which an agent may take some seconds for."""
        self.stop.setText(self.tr("Stopping…") if stopping else self.tr("Stop"))
        self.stop.setEnabled(not stopping)

    def _fit(self) -> None:
        """Model and usage give way to the branch in a narrow page. The menu has them too."""
        wide = self.width() >= theme().px(WIDE)
        self.about.setVisible(bool(self.about.text()) and wide)

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _show_time(self) -> None:
        facts = self._facts
        if facts is None:
            return
        words = ""
        if facts.began is not None:
            seconds = ((facts.ended or datetime.now(UTC)) - facts.began).total_seconds()
            words = duration(int(seconds)) if seconds >= 1 else ""
        self.status.set_state(facts.state, words)

    def _run_timer(self) -> None:
        runs = self._facts is not None and self._facts.began is not None and self._facts.ended is None
        if runs and self.isVisible():
            self._tick.start()
        else:
            self._tick.stop()

    def _open_link(self) -> None:
        if self._facts is not None and self._facts.pull_request:
            self.link_wanted.emit(self._facts.pull_request)

    def _emit_more(self) -> None:
        self.more_wanted.emit(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    @guarded()
    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._show_time()
        self._run_timer()

    @guarded()
    def hideEvent(self, event: QHideEvent) -> None:
        # Nobody sees it count.
        self._tick.stop()
        super().hideEvent(event)


def usage_words(usage: Usage | None) -> str:
    """How much of the context is used."""
    from app.ui.transcript.card_words import tr

    if usage is None or usage.used <= 0:
        return ""
    if usage.size > 0:
        return tr("{0} % of the context").format(min(100, round(100 * usage.used / usage.size)))
    return tr("{0} tokens").format(QLocale().toString(usage.used))
