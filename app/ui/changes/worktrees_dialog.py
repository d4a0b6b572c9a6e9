"""WorktreesDialog: the worktrees of runs, with what would be lost with each before it is deleted."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout

from app.core.runs.worktrees.sizes import size_of
from app.core.runs.worktrees.worktrees import WorktreeChanged
from app.marks import isolated, revealed_name
from app.ui.changes.disk import told
from app.ui.changes.worktree_words import KnownWorktree, groups_of_worktrees, losses_summary, losses_text
from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.feedback import EmptyState, InlineCard, ProgressLine
from app.ui.widgets.fields import CodeEdit
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.lists import ListTable
from app.ui.widgets.question import InlineQuestion
from app.ui.widgets.text import ElidedLabel, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from PySide6.QtWidgets import QWidget

    from app.core.errors import BurrowError
    from app.core.runs.worktrees.losses import Losses
    from app.core.runs.worktrees.sizes import FolderSize
    from app.core.runs.worktrees.worktrees import WorktreeRecord, Worktrees
    from app.ui.bridge import Bridge

WIDTH, HEIGHT, LEAST_WIDTH, LEAST_HEIGHT = 720, 640, 420, 420


class FoldersInUse(Protocol):
    """What is known of the agents of this machine that work in folders (`LocalDesk`)."""

    def works_in(self, folder: Path) -> bool:
        """Whether a turn is under way in it."""

    async def idle_in(self, folder: Path) -> None:
        """Returns when none is, and nothing of an agent runs there any more."""


class WorktreesDialog(QDialog):
    """Opened with `open()` or `show()`. Everything that happens is said in its place."""

    def __init__(
        self, worktrees: Worktrees, in_use: FoldersInUse, bridge: Bridge, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Worktrees of runs"))
        self._worktrees, self._in_use, self._bridge = worktrees, in_use, bridge
        self._known: dict[str, KnownWorktree] = {}
        self._losses: Losses | None = None
        self._shown = ""
        self._build()
        self.look()

    def look(self) -> None:
        """Ask again which there are."""
        self.progress.start()
        self._bridge.spawn(self, told(self._worktrees.all), done=self._show, failed=self._failed, key="look")

    def choose(self, record_id: str) -> None:
        """Show a worktree by its id."""
        self.list.select_key(record_id)

    @property
    def record(self) -> WorktreeRecord | None:
        """The worktree in view."""
        known = self._known.get(self._shown)
        return known.record if known is not None else None

    def archive(self) -> None:
        """Archive it, or list it again."""
        record = self.record
        if record is not None:
            work = self._worktrees.restore if record.archived else self._worktrees.archive
            self._act(partial(work, record), self._archived)

    def delete(self) -> None:
        """Ask whether to delete it, after another look at what would be lost."""
        record = self.record
        if record is not None:
            self.progress.start()
            done = partial(self._ask, record)
            self._bridge.spawn(
                self, told(partial(self._worktrees.losses, record)), done=done, failed=self._failed, key="losses"
            )

    def _build(self) -> None:
        current = theme()
        self.progress = ProgressLine(self.tr("Looking at worktrees"))
        self.list = ListTable(self.tr("Worktrees"), two_lines=True)
        self.list.picked.connect(self._pick)
        self.none = EmptyState(
            self.tr("No worktrees"),
            self.tr("A run on this machine can work in a worktree of its own. It is listed here then."),
        )
        self.path = ElidedLabel(tone="muted")
        self.summary = Text(wrap=True)
        self.listing = CodeEdit(self.tr("What would be lost"), read_only=True)
        self.list.opened.connect(lambda _key: self.listing.setFocus(Qt.FocusReason.ShortcutFocusReason))
        self.question = InlineQuestion()
        self.card = InlineCard()
        self.said = Text(tone="muted", wrap=True, selectable=True)
        self.archive_button = QuietButton(self.tr("Archive"), "archive", clicked=self.archive)
        self.delete_button = QuietButton(self.tr("Delete…"), "trash", kind="danger", clicked=self.delete)
        self.copy_button = QuietButton(self.tr("Copy path"), "copy", clicked=self._copy_path)
        self.stop_button = QuietButton(self.tr("Stop waiting"), "cross", clicked=self._stop_waiting)
        self.stop_button.setVisible(False)
        actions = FlowLayout()
        for button in (self.copy_button, self.archive_button, self.delete_button, self.stop_button):
            actions.addWidget(button)
        close = QuietButton(self.tr("Close"), clicked=self.accept)
        foot = QHBoxLayout()
        foot.addLayout(actions, 1)
        foot.addWidget(close, 0, Qt.AlignmentFlag.AlignBottom)
        box = QVBoxLayout(self)
        wide = current.px(tokens.SPACE_4)
        box.setContentsMargins(wide, current.px(tokens.SPACE_3), wide, wide)
        box.setSpacing(current.px(tokens.SPACE_2))
        box.addWidget(self.progress)
        box.addWidget(self.list, 3)
        box.addWidget(self.none, 3)
        for part in (self.path, self.summary):
            box.addWidget(part)
        box.addWidget(self.listing, 2)
        for below in (self.question, self.card, self.said):
            box.addWidget(below)
        box.addLayout(foot)
        for hidden in (self.none, self.listing, self.said):
            hidden.setVisible(False)
        self.setMinimumSize(current.px(LEAST_WIDTH), current.px(LEAST_HEIGHT))
        room = self.screen().availableGeometry()
        self.resize(min(current.px(WIDTH), room.width()), min(current.px(HEIGHT), room.height()))
        show_focus_ring(self)

    def _show(self, records: Sequence[WorktreeRecord]) -> None:
        self.progress.stop()
        former = self._known
        self._known = {}
        for each in records:
            known = former.get(each.id, KnownWorktree(each))
            works = self._in_use.works_in(Path(each.path))
            self._known[each.id] = known._replace(record=each, works=works)
        self._fill()
        self._bridge.spawn(self, self._count(), key="sizes")

    async def _count(self) -> None:
        """One folder after the other: together they would keep every worker busy."""
        for record_id, known in list(self._known.items()):
            size = await asyncio.to_thread(size_of, Path(known.record.path))
            self._counted(record_id, size)

    def _counted(self, record_id: str, size: FolderSize | None) -> None:
        known = self._known.get(record_id)
        if known is not None:
            self._known[record_id] = known._replace(size=size, counted=True)
            self._fill()

    def _fill(self) -> None:
        self.list.set_groups(groups_of_worktrees(list(self._known.values())))
        some = bool(self._known)
        self.list.setVisible(some)
        self.none.setVisible(not some)
        if self._shown not in self._known:
            self.list.select_first(quiet=True)
            self._pick(self.list.current_key() or "")
        self._show_actions()

    def _pick(self, record_id: str) -> None:
        self._shown, self._losses = record_id, None
        self.question.withdraw()
        self.card.clear()
        record = self.record
        self.path.setText(isolated(revealed_name(record.path)) if record is not None else "")
        self.summary.setText(self.tr("Looking at what is only here…") if record is not None else "")
        self.listing.setVisible(False)
        self._show_actions()
        if record is not None:
            done = partial(self._show_losses, record.id)
            work = told(partial(self._worktrees.losses, record))
            self._bridge.spawn(self, work, done=done, failed=self._failed, key="losses")

    def _show_losses(self, record_id: str, losses: Losses) -> None:
        self.progress.stop()
        if record_id != self._shown:
            return
        self._losses = losses
        self.summary.setText(losses_summary(losses))
        self.listing.setVisible(losses.any)
        self.listing.setPlainText(losses_text(losses))

    def _show_actions(self) -> None:
        record = self.record
        for button in (self.archive_button, self.delete_button, self.copy_button):
            button.setEnabled(record is not None)
        archived = record is not None and record.archived
        self.archive_button.setText(self.tr("Restore") if archived else self.tr("Archive"))
        self.archive_button.set_icon_name("undo" if archived else "archive")

    def _ask(self, record: WorktreeRecord, losses: Losses) -> None:
        self._show_losses(record.id, losses)
        if record.id != self._shown:
            return
        words = [self.tr("Delete the worktree of {0}?").format(revealed_name(record.branch)), losses_summary(losses)]
        known = self._known[record.id]
        if known.counted and known.size is None:
            words.append(self.tr("Its folder is gone already: it only leaves this list, and its branch stays."))
        elif losses.any:
            words.append(self.tr("Its folder is moved into Burrow's trash, and commits stay on their branch."))
        if self._in_use.works_in(Path(record.path)):
            words.append(self.tr("An agent works in it: its turn ends first."))
        self.question.ask(" ".join(words), self.tr("Delete"), lambda: self._delete(record, losses))

    def _delete(self, record: WorktreeRecord, agreed: Losses) -> None:
        folder = Path(record.path)
        if self._in_use.works_in(folder):
            self._say(self.tr("Waiting until the agent has ended its turn…"))
            self.stop_button.setVisible(True)

        async def idle() -> None:
            await self._in_use.idle_in(folder)
            # From here on it is not given up.
            self.stop_button.setVisible(False)

        self.progress.start()
        self._bridge.spawn(
            self,
            told(partial(self._worktrees.delete, record, agreed, idle)),
            done=partial(self._deleted, record),
            failed=partial(self._not_deleted, record),
            key="delete",
        )

    def _stop_waiting(self) -> None:
        self._bridge.cancel(self, "delete")
        self._ended()
        self._say(self.tr("Nothing was deleted."))

    def _deleted(self, record: WorktreeRecord, aside: Path | None) -> None:
        self._ended()
        name = revealed_name(record.branch)
        if aside is None:
            self._say(self.tr("The worktree of {0} is deleted.").format(name))
        else:
            self._say(self.tr("The worktree of {0} is deleted. What was only there is in {1}.").format(name, aside))
        self.look()

    def _not_deleted(self, record: WorktreeRecord, trouble: BurrowError) -> None:
        self._ended()
        self._failed(trouble)
        if isinstance(trouble, WorktreeChanged):
            self._ask(record, trouble.losses)

    def _ended(self) -> None:
        self.progress.stop()
        self.stop_button.setVisible(False)

    def _archived(self, record: WorktreeRecord) -> None:
        name = revealed_name(record.branch)
        words = (
            self.tr("{0} is archived. Its files stay where they are.") if record.archived else self.tr("{0} is back.")
        )
        self._say(words.format(name))
        self.look()

    def _act(
        self, work: Callable[[], Coroutine[Any, Any, WorktreeRecord]], done: Callable[[WorktreeRecord], None]
    ) -> None:
        self.card.clear()
        self.progress.start()
        self._bridge.spawn(self, told(work), done=done, failed=self._failed, key="act")

    def _failed(self, trouble: BurrowError) -> None:
        self.progress.stop()
        self.card.show_error(trouble)

    def _copy_path(self) -> None:
        if self.record is not None:
            QGuiApplication.clipboard().setText(self.record.path)
            self._say(self.tr("Path copied."))

    def _say(self, words: str) -> None:
        self.said.setText(words)
        self.said.setVisible(bool(words))
        announce(self, words)


class NoneInUse:
    """Where no agent of this machine is known."""

    def works_in(self, folder: Path) -> bool:
        return False

    async def idle_in(self, folder: Path) -> None:
        return
