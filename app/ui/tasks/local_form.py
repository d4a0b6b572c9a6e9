"""The form of a run on this machine: agent, folder or fresh worktree, permission mode; and its panel."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtWidgets import QFileDialog, QGridLayout, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from app.core.errors import BurrowError, Rejected
from app.core.runs.desk.local_desk import LocalStart
from app.core.runs.local.agents import agent_of_command
from app.core.runs.local.mode_names import BYPASS, LOCAL_MODES
from app.core.runs.worktrees.environments import NONE, FoundEnvironments, setup_of
from app.marks import revealed_name
from app.ui.tasks.card_form import CardForm
from app.ui.tasks.run_words import mode_about, mode_name
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.choices import Select
from app.ui.widgets.feedback import InlineCard
from app.ui.widgets.flow import FlowLayout
from app.ui.widgets.guard import guarded
from app.ui.widgets.line_edit import LineEdit
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QResizeEvent

    from app.core.runs.desk.memory import LocalChoice
    from app.core.runs.local.agents import LocalAgent
    from app.core.runs.worktrees.environments import WorkEnvironment

OTHER, FOLDER, WORKTREE = "other", "folder", "worktree"
# How long nothing is typed before it is looked what the folder has.
NAMED_MS = 300
LONGEST_NAME = 80
# Narrower than this, in pixels of the design, the fields stand below each other.
TWO_COLUMNS = 420


class LocalRunForm(QWidget):
    """What to start a run on this machine with. `show_choice` first, `show_agents` once it is known which there are.

    `folder_named(str)` when another folder may be meant; `show_environments` answers it.
    """

    folder_named = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._agents: dict[str, LocalAgent] = {}
        self._choice: LocalChoice | None = None
        self.agent = Select(self.tr("Agent"))
        self.command = LineEdit()
        self.command.setAccessibleName(self.tr("Command of the agent"))
        self.command.setPlaceholderText(self.tr("As in a terminal: my-agent --acp"))
        self.folder = LineEdit()
        self.folder.setAccessibleName(self.tr("Folder"))
        self.folder.setPlaceholderText(self.tr("A folder of this machine"))
        self.choose = QuietButton(self.tr("Choose…"), "folder", clicked=self._choose)
        self.choose.setAccessibleName(self.tr("Choose the folder"))
        self.where = Select(
            self.tr("Works in"),
            [(FOLDER, self.tr("This folder")), (WORKTREE, self.tr("A fresh worktree of it"))],
        )
        self.base = LineEdit()
        self.base.setAccessibleName(self.tr("Branch or commit to start from"))
        self.base.setPlaceholderText(self.tr("Where the folder stands now"))
        self.environment = Select(self.tr("Environment"))
        self._environments: dict[str, WorkEnvironment] = {}
        # Whether it is known which environments the folder has.
        self._known = False
        self.mode = Select(self.tr("Permission mode"))
        self._about_where = Text(role="caption", tone="muted", wrap=True)
        self._about_environment = Text(role="caption", tone="muted", wrap=True)
        self._about_mode = Text(role="caption", tone="muted", wrap=True)
        beside = QWidget()
        row = QHBoxLayout(beside)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme().px(tokens.SPACE_2))
        row.addWidget(self.folder, 1)
        row.addWidget(self.choose)
        self._command_field = self._field(self.tr("&Command"), self.command)
        self._base_field = self._field(self.tr("&Branch or commit to start from"), self.base)
        self._environment_field = self._field(self.tr("&Environment"), self.environment, below=self._about_environment)
        self._fields = [
            self._field(self.tr("&Agent"), self.agent),
            self._command_field,
            self._field(self.tr("&Folder"), beside, self.folder),
            self._field(self.tr("&Works in"), self.where, below=self._about_where),
            self._base_field,
            self._environment_field,
            self._field(self.tr("Permission mode"), self.mode, below=self._about_mode),
        ]
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(theme().px(tokens.SPACE_4))
        self._grid.setVerticalSpacing(theme().px(tokens.SPACE_2))
        self._columns = 0
        self._shown: list[QWidget] = []
        self.agent.activated.connect(lambda _row: self._agent_chosen())
        self.where.activated.connect(lambda _row: self._fit())
        self.environment.activated.connect(lambda _row: self._say_environment())
        self.mode.activated.connect(lambda _row: self._say_mode())
        self._named_soon = QTimer(self, singleShot=True, interval=NAMED_MS)
        self._named_soon.timeout.connect(lambda: self.folder_named.emit(self.folder.text().strip()))
        self.folder.textChanged.connect(self._another_folder)
        self._fit()

    def show_choice(self, choice: LocalChoice, *, bypass: bool) -> None:
        """Show what the last run of the repository was started with."""
        self._choice = choice
        self.folder.setText(choice.folder)
        self.show_environments(FoundEnvironments())
        self._known = False
        self._named_soon.start()
        self.base.setText("" if choice.base == "HEAD" else choice.base)
        self.where.setCurrentIndex(max(0, self.where.findData(WORKTREE if choice.worktree else FOLDER)))
        self.mode.clear()
        self.mode.addItem(self.tr("As the agent does"), "")
        for mode in LOCAL_MODES:
            if bypass or mode != BYPASS:
                self.mode.addItem(mode_name("claude", mode), mode)
        self._fit()

    def show_environments(self, found: FoundEnvironments) -> None:
        """Offer the environments of the folder. One alone needs no choice."""
        self._known = True
        former = self.environment.currentData() or ("" if self._choice is None else self._choice.environment)
        several = found.environments if len(found.environments) > 1 else ()
        self._environments = {each.file: each for each in several}
        usual = setup_of(found, "")
        with QSignalBlocker(self.environment):
            self.environment.clear()
            for each in several:
                self.environment.addItem(revealed_name(each.name[:LONGEST_NAME]), each.file)
            if several:
                self.environment.addItem(self.tr("None"), NONE)
            wanted = self.environment.findData(former)
            self.environment.setCurrentIndex(
                wanted if wanted >= 0 else max(0, self.environment.findData(usual.file if usual is not None else ""))
            )
        self._fit()

    def show_agents(self, agents: Sequence[LocalAgent]) -> None:
        """Offer these, and any other by its command."""
        last = None if self._choice is None else self._choice.agent
        self._agents = {agent.id: agent for agent in agents}
        with QSignalBlocker(self.agent):
            self.agent.clear()
            for agent in agents:
                self.agent.addItem(agent.name, agent.id)
            self.agent.addItem(self.tr("Another command…"), OTHER)
            wanted = "" if last is None else last.id if last.id in self._agents else OTHER
            if last is not None and wanted == OTHER:
                self.command.setText(shlex.join(last.command))
            self.agent.setCurrentIndex(max(0, self.agent.findData(wanted)))
        self._agent_chosen()

    def start(self) -> LocalStart:
        """What is chosen. Raises `Rejected` with the `attr` of the field that is wrong."""
        chosen = str(self.agent.currentData() or "")
        agent = self._agents.get(chosen) or agent_of_command(self.command.text())
        folder = self.folder.text().strip()
        if not folder:
            raise Rejected(self.tr("There is no folder."), action=self.tr("Choose where the agent works."))
        return LocalStart(
            agent=agent,
            folder=folder,
            worktree=self.where.currentData() == WORKTREE,
            base=self.base.text().strip() or "HEAD",
            environment=str(self.environment.currentData() or self._remembered(folder)),
            mode=str(self.mode.currentData() or ""),
        )

    def focus_first(self) -> None:
        """Put the focus into the first field that is empty."""
        target = self.folder if not self.folder.text() else self.agent
        target.setFocus(Qt.FocusReason.OtherFocusReason)

    def _another_folder(self) -> None:
        self._known = False
        self._named_soon.start()

    def _remembered(self, folder: str) -> str:
        """The environment of the last run in a folder of which nothing else is known yet."""
        choice = self._choice
        return choice.environment if choice is not None and not self._known and choice.folder == folder else ""

    def _agent_chosen(self) -> None:
        modes = {} if self._choice is None else self._choice.modes
        agent = self._agents.get(str(self.agent.currentData() or ""))
        self.mode.setCurrentIndex(max(0, self.mode.findData(modes.get(agent.id if agent else "command", ""))))
        self._fit()

    def _fit(self) -> None:
        other, worktree = self.agent.currentData() == OTHER, self.where.currentData() == WORKTREE
        absent = {
            self._command_field: not other,
            self._base_field: not worktree,
            self._environment_field: not self._environments,
        }
        self._shown = [field for field in self._fields if not absent.get(field)]
        for field in absent:
            field.setVisible(field in self._shown)
        self._about_where.setText(
            self.tr("A folder and a branch of the run's own, beside your work.")
            if worktree
            else self.tr("The agent changes your files.")
        )
        self._say_environment()
        self._say_mode()
        self._arrange(anew=True)

    def _say_environment(self) -> None:
        chosen = self._environments.get(str(self.environment.currentData() or ""))
        if chosen is None:
            about = self.tr("No setup script is run, and no commands are offered.")
        elif not chosen.script:
            about = self.tr("It has commands, and no setup script.")
        elif self.where.currentData() == WORKTREE:
            about = self.tr("You see its setup script before it runs.")
        else:
            about = self.tr("Its commands are offered. Its setup script is for worktrees.")
        self._about_environment.setText(about)
        self.environment.setAccessibleDescription(about)

    def _say_mode(self) -> None:
        mode = str(self.mode.currentData() or "")
        about = mode_about("claude", mode) if mode else self.tr("What it asks is for the agent to decide.")
        self._about_mode.setText(about)
        self.mode.setAccessibleDescription(about)

    def _choose(self) -> None:
        dialog = QFileDialog(self, self.tr("Choose the folder"), self.folder.text())
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(self.folder.setText)
        dialog.open()

    def _field(
        self, words: str, control: QWidget, buddy: QWidget | None = None, *, below: QWidget | None = None
    ) -> QWidget:
        box = QWidget(self)
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme().px(tokens.SPACE_1))
        label = Text(words)
        label.setBuddy(buddy or control)
        control.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        column.addWidget(label)
        column.addWidget(control)
        if below is not None:
            column.addWidget(below)
        column.addStretch()
        return box

    def _arrange(self, *, anew: bool = False) -> None:
        columns = 2 if self.width() >= theme().px(TWO_COLUMNS) else 1
        if columns == self._columns and not anew:
            return
        self._columns = columns
        for field in self._fields:
            self._grid.removeWidget(field)
        for number, field in enumerate(self._shown):
            self._grid.addWidget(field, number // columns, number % columns)
        for column in range(2):
            self._grid.setColumnStretch(column, int(column < columns))

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()


class LocalRunPanel(CardForm):
    """The form in a card, until the run has started. `run_wanted(LocalStart)`; `closed` by Esc or its button."""

    run_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        current = theme()
        self.setProperty("card", "true")
        self.setAccessibleName(self.tr("Run on this machine"))
        self.title = Text(self.tr("Run on this machine"), "strong")
        self.form = LocalRunForm()
        self.card = InlineCard()
        self.run_button = PrimaryButton(self.tr("Run here"), "play", keys="Ctrl+Return", clicked=self._submit)
        self.close_button = QuietButton(self.tr("Close"), kind="flat", keys="Esc", clicked=self.close_now)
        buttons = FlowLayout()
        for button in (self.run_button, self.close_button):
            buttons.addWidget(button)
        box = QVBoxLayout(self)
        edge = current.px(tokens.SPACE_3)
        box.setContentsMargins(edge, edge, edge, edge)
        box.setSpacing(current.px(tokens.SPACE_3))
        for part in (self.title, self.form, self.card):
            box.addWidget(part)
        box.addLayout(buttons)
        self.setVisible(False)

    def open_for(self, choice: LocalChoice, *, bypass: bool) -> None:
        """Show the form."""
        self.card.clear()
        self.set_busy(False)
        self.form.show_choice(choice, bypass=bypass)
        self.setVisible(True)
        self.form.focus_first()

    def set_busy(self, busy: bool) -> None:
        """Whether the run is being started. A worktree of a large repository takes a while."""
        self.run_button.setEnabled(not busy)
        self.run_button.setText(self.tr("Starting…") if busy else self.tr("Run here"))

    def show_error(self, error: BurrowError) -> None:
        """It was not started. What was chosen is still there."""
        self.set_busy(False)
        self.card.show_error(error)
        field = {"agent": self.form.agent, "command": self.form.command, "folder": self.form.folder}.get(
            error.facts.attr or ""
        )
        if field is not None:
            field.setFocus(Qt.FocusReason.OtherFocusReason)

    def _submit(self) -> None:
        if not self.run_button.isEnabled():
            return
        self.card.clear()
        try:
            start = self.form.start()
        except Rejected as refused:
            self.show_error(refused)
            return
        self.set_busy(True)
        self.run_wanted.emit(start)
