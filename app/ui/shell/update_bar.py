"""The bar that tells of an update: what is there, how far it is, what it waits for, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal

from app.core.updates.install import FIXED
from app.core.updates.status import UpdateState
from app.marks import isolated, revealed_name
from app.ui.widgets.feedback import Banner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtWidgets import QWidget

    from app.core.busy import Work
    from app.core.errors import BurrowError
    from app.core.updates.record import UpdateOutcome
    from app.core.updates.status import UpdateStatus
    from app.ui.widgets.feedback import Action, BoxTone

MEGABYTE = 1_000_000
# Of a name in a sentence, in characters.
LONGEST_NAME = 40


class UpdateBar(Banner):
    """Hidden while there is nothing to say. Signals: what the person wants."""

    download_wanted = Signal()
    cancel_wanted = Signal()
    restart_wanted = Signal()
    notes_wanted = Signal(str, str)
    skip_wanted = Signal()
    later_wanted = Signal()
    folder_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: object = None

    def show_status(self, status: UpdateStatus, works: Sequence[Work]) -> None:
        """Say how things stand with the update that is offered. `works` would be interrupted by a restart."""
        release = status.release
        if release is None:
            self.hide_all()
            return
        version = str(release.version)
        later = (self.tr("Later"), self.later_wanted.emit)
        notes = (self.tr("What is new"), lambda: self.notes_wanted.emit(version, release.notes))
        with_notes = [notes] if release.notes.strip() else []
        if status.state is UpdateState.DOWNLOADING:
            percent = 100 * status.received // release.length
            words = self.tr("Burrow {0} is being downloaded: {1} %").format(version, percent)
            self._show_progress(words, (self.tr("Cancel"), self.cancel_wanted.emit))
        elif status.state is UpdateState.READY and works:
            words = self.tr("Burrow {0} is ready. It can be installed when this is done: {1}").format(
                version, self._named(works)
            )
            self._show(words, "info", [*with_notes, later])
        elif status.state is UpdateState.READY:
            words = self.tr("Burrow {0} is ready. It is installed when Burrow restarts.").format(version)
            restart = (self.tr("Restart now"), self.restart_wanted.emit)
            self._show(words, "info", [restart, *with_notes, later])
        elif status.state is UpdateState.AVAILABLE:
            words = self.tr("Burrow {0} is available ({1} MB).").format(version, max(1, release.length // MEGABYTE))
            if status.received:
                download = (self.tr("Resume"), self.download_wanted.emit)
            else:
                download = (self.tr("Download"), self.download_wanted.emit)
            skip = (self.tr("Skip this version"), self.skip_wanted.emit)
            self._show(words, "info", [download, *with_notes, later, skip])

    def show_trouble(self, trouble: BurrowError, again: bool) -> None:
        """Say why something that the person asked for did not work. `again`: it can be tried again."""
        title = trouble.title
        helps: list[Action] = []
        if trouble.facts.code == FIXED:
            title = self.tr("The update cannot be installed")
            helps = [(self.tr("Open the folder"), self.folder_wanted.emit)]
        elif again:
            helps = [(self.tr("Try again"), self.download_wanted.emit)]
        words = f"{title}. {trouble.cause} {trouble.advice}".strip()
        self._show(words, "attention", [*helps, (self.tr("Close"), self.later_wanted.emit)])

    def show_outcome(self, outcome: UpdateOutcome) -> None:
        """Say what became of an update."""
        notes: list[Action] = []
        if outcome.happened == "updated":
            words = self.tr("Burrow was updated from {0} to {1}.").format(outcome.former, outcome.version)
            if outcome.notes.strip():
                notes = [(self.tr("What is new"), lambda: self.notes_wanted.emit(outcome.version, outcome.notes))]
        elif outcome.happened == "put back":
            words = self.tr("Burrow {0} was put back in the place of {1}. {2}").format(
                outcome.former, outcome.version, outcome.reason
            )
        else:
            words = self.tr("Burrow {1} was not installed; this is still {0}. {2}").format(
                outcome.former, outcome.version, outcome.reason
            )
        tone: BoxTone = "info" if outcome.happened == "updated" else "attention"
        self._show(words, tone, [*notes, (self.tr("Close"), self.later_wanted.emit)])

    def _named(self, works: Sequence[Work]) -> str:
        named, rest = short_names(works, 2), len(works) - 2
        return self.tr("{0}, and {1} more").format(named, rest) if rest > 0 else named

    def hide_all(self) -> None:
        """Say nothing."""
        self._shown = None
        self.clear()

    def _show(self, words: str, tone: BoxTone, buttons: Sequence[Action]) -> None:
        # A status that says the same again must not take the focus from a button.
        shown = (words, tone, tuple(text for text, _ in buttons))
        if shown != self._shown:
            self._shown = shown
            self.show_message(words, tone, secondary=buttons, glyph="download" if tone == "info" else "")

    def _show_progress(self, words: str, cancel: Action) -> None:
        if self._shown != "progress":
            self._shown = "progress"
            self.show_message(words, "info", secondary=[cancel], glyph="download")
        self.say(words)


def short_names(works: Sequence[Work], most: int) -> str:
    """The first of these works, to stand in a sentence."""
    return ", ".join(isolated(_short(revealed_name(work.what))) for work in works[:most])


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
