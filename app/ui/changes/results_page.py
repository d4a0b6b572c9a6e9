"""ResultsPage: what a run in the cloud made: its branch, its commit, its pull request and its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QLocale, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.marks import isolated, revealed_name
from app.ui.theme import theme, tokens
from app.ui.widgets.announce import announce
from app.ui.widgets.buttons import IconButton, QuietButton
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.feedback import InlineCard, ProgressLine, clear_layout
from app.ui.widgets.prose import is_web, link_menu
from app.ui.widgets.text import ElidedLabel, Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.core.posthog.types import RunArtifact, TaskRun

LONGEST_SHOWN = 300
# What a run was given is shown below what it made.
GIVEN = "user_attachment"
BRANCH_KEYS, COMMIT_KEYS = ("head_branch", "branch"), ("head_sha", "commit_sha", "commit")


class RunResults(NamedTuple):
    """`pull_request` is an https address. Empty texts are left out."""

    branch: str = ""
    commit: str = ""
    pull_request: str = ""

    @staticmethod
    def of(run: TaskRun) -> RunResults:
        """What a run says that it made."""
        output: Mapping[str, object] = run.output or {}
        address = _first(output, ("pr_url",))
        return RunResults(
            _first(output, BRANCH_KEYS) or run.branch or "",
            _first(output, COMMIT_KEYS),
            address if is_web(address) else "",
        )


class ResultsPage(QWidget):
    """`looked()`: ask again. `download_wanted(RunArtifact)`, `cancel_wanted(artifact id)`."""

    looked = Signal()
    download_wanted = Signal(object)
    cancel_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._address = ""
        self._rows: dict[str, ArtifactRow] = {}
        current = theme()
        self.card = InlineCard()
        self.facts = QVBoxLayout()
        self.facts.setSpacing(current.px(tokens.SPACE_1))
        self.heading = Text(self.tr("Files"), "section")
        self.again = IconButton(self.tr("Look again"), "refresh", clicked=self.looked.emit)
        self.said = Text(tone="muted", wrap=True)
        self.said.setVisible(False)
        self.files = QVBoxLayout()
        self.files.setSpacing(current.px(tokens.SPACE_1))
        self.none = Text(self.tr("The run has no files."), tone="muted")
        self.none.setVisible(False)
        head = QHBoxLayout()
        head.addWidget(self.heading, 1)
        head.addWidget(self.again)
        self.area = ScrollColumn(self.tr("Results of the run"))
        self.area.box.addLayout(self.facts)
        self.area.box.addWidget(self.said)
        self.area.box.addLayout(head)
        self.area.box.addWidget(self.card)
        self.area.box.addLayout(self.files)
        self.area.box.addWidget(self.none)
        self.area.box.addStretch(1)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.area)

    def show_results(self, results: RunResults) -> None:
        """Show branch, commit and pull request."""
        clear_layout(self.facts)
        self._address = results.pull_request
        for name, value in ((self.tr("Branch"), results.branch), (self.tr("Commit"), results.commit)):
            if value:
                self.facts.addWidget(self._fact(name, value))
        if results.pull_request:
            self.link = QuietButton(self.tr("Open"), "external", clicked=self._ask_link)
            self.link.setAccessibleName(self.tr("Open the pull request"))
            self.facts.addWidget(self._fact(self.tr("Pull request"), results.pull_request, self.link))
        if results == RunResults():
            self.facts.addWidget(Text(self.tr("The run has made no branch and no pull request."), tone="muted"))

    def show_files(self, artifacts: Sequence[RunArtifact]) -> None:
        """Show these files, those that the run made first. A download that is under way goes on."""
        self.card.clear()
        ordered = sorted(artifacts, key=lambda each: each.type == GIVEN)
        if [each.id for each in ordered] != list(self._rows):
            clear_layout(self.files)
            self._rows = {}
            for each in ordered:
                row = self._rows[each.id] = ArtifactRow(each)
                row.download.clicked.connect(lambda _checked=False, each=each: self.download_wanted.emit(each))
                row.cancel.clicked.connect(lambda _checked=False, each=each: self.cancel_wanted.emit(each.id))
                self.files.addWidget(row)
        self.none.setVisible(not ordered)

    def show_progress(self, artifact: RunArtifact, done: int) -> None:
        """So many bytes of a file have come."""
        row = self._rows.get(artifact.id)
        if row is not None:
            row.show_progress(done)

    def stop_progress(self, artifact_id: str) -> None:
        """A file is not being downloaded any more."""
        row = self._rows.get(artifact_id)
        if row is not None:
            row.show_progress(None)

    def say(self, words: str) -> None:
        """Tell what was done."""
        self.said.setText(words)
        self.said.setVisible(bool(words))
        if words:
            announce(self, words)

    def _fact(self, name: str, value: str, *more: QWidget) -> QWidget:
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme().px(tokens.SPACE_2))
        label = Text(name, tone="muted")
        label.setMinimumWidth(theme().px(96))
        shown = ElidedLabel(isolated(revealed_name(value[:LONGEST_SHOWN])))
        copy = IconButton(self.tr("Copy {0}").format(name.lower()), "copy", clicked=lambda: self._copy(name, value))
        row.addWidget(label)
        row.addWidget(shown, 1)
        for control in (*more, copy):
            row.addWidget(control)
        return line

    def _copy(self, name: str, value: str) -> None:
        QGuiApplication.clipboard().setText(value)
        self.say(self.tr("{0} copied.").format(name))

    def _ask_link(self) -> None:
        link_menu(self._address, self).popup(self.link.mapToGlobal(self.link.rect().bottomLeft()))


class ArtifactRow(QWidget):
    """A file of a run, and its download."""

    def __init__(self, artifact: RunArtifact) -> None:
        super().__init__()
        self._artifact = artifact
        current = theme()
        name = revealed_name(artifact.name[:LONGEST_SHOWN]) or self.tr("Unnamed file")
        self.name = ElidedLabel(isolated(name))
        self.amount = Text(_size(artifact.size), tone="muted")
        given = Text(self.tr("given to the run"), "caption", "muted")
        given.setVisible(artifact.type == GIVEN)
        self.download = QuietButton(self.tr("Download"), "download")
        self.download.setAccessibleName(self.tr("Download {0}").format(name))
        self.cancel = QuietButton(self.tr("Cancel"), "cross")
        self.cancel.setAccessibleName(self.tr("Cancel the download of {0}").format(name))
        self.cancel.setVisible(False)
        self.progress = ProgressLine(self.tr("Downloading {0}").format(name))
        row = QHBoxLayout()
        row.setSpacing(current.px(tokens.SPACE_2))
        row.addWidget(self.name, 1)
        for part in (given, self.amount, self.download, self.cancel):
            row.addWidget(part)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addLayout(row)
        box.addWidget(self.progress)

    def show_progress(self, done: int | None) -> None:
        """Show how much has come; None for no download."""
        had_focus = self.download.hasFocus() or self.cancel.hasFocus()
        under_way = done is not None
        self.download.setVisible(not under_way)
        self.cancel.setVisible(under_way)
        if had_focus:
            (self.cancel if under_way else self.download).setFocus()
        if done is None:
            self.progress.stop()
            self.amount.setText(_size(self._artifact.size))
            return
        self.progress.start()
        if self._artifact.size:
            self.progress.set_fraction(done / self._artifact.size)
        self.amount.setText(self.tr("{0} of {1}").format(_size(done), _size(self._artifact.size) or "?"))


def _size(size: int | None) -> str:
    return "" if size is None else QLocale().formattedDataSize(size)


def _first(output: Mapping[str, object], keys: Sequence[str]) -> str:
    found = (output.get(key) for key in keys)
    return next((each for each in found if isinstance(each, str) and each), "")
