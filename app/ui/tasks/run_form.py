"""The form of a run: model, effort, permission mode, branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QVBoxLayout, QWidget

from app.core.posthog.run_options import MODES, RunOptions, adapter_of
from app.ui.tasks.run_sources import SEPARATOR, model_words, value_of
from app.ui.tasks.run_words import USUAL_EFFORTS, effort_name, mode_about, offered_modes
from app.ui.theme import theme, tokens
from app.ui.widgets.choices import Select
from app.ui.widgets.guard import guarded
from app.ui.widgets.paged_choices import PagedSelect
from app.ui.widgets.paged_popup import PagedChoice
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QResizeEvent

    from app.ui.tasks.run_sources import RunChoices

# Narrower than this, in pixels of the design, the fields stand below each other.
TWO_COLUMNS = 420
LONGEST_BRANCH = 255


class RunForm(QWidget):
    """What to start a run with. `changed` when the user chose something.

    It shows what the last run of the repository was started with until `options` are given.
    """

    changed = Signal()

    def __init__(self, choices: RunChoices, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices = choices
        self._branches = choices.branches()
        self._repository = ""
        self._adapter = next(iter(MODES))
        self._touched = False
        self.model = PagedSelect(self.tr("Model"), choices.models, free=lambda text: bool(adapter_of(text)))
        self.effort = Select(self.tr("Effort"))
        self.mode = Select(self.tr("Permission mode"))
        self.branch = PagedSelect(
            self.tr("Branch"),
            self._branches,
            first=[PagedChoice("", self.tr("The default branch"))],
            free=_can_be_branch,
        )
        self._about = Text(role="caption", tone="muted", wrap=True)
        self._no_effort = Text(role="caption", tone="muted", wrap=True)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(theme().px(tokens.SPACE_4))
        self._grid.setVerticalSpacing(theme().px(tokens.SPACE_2))
        self._fields = [
            self._field(words, control)
            for words, control in (
                (self.tr("&Model"), self.model),
                (self.tr("&Effort"), self.effort),
                (self.tr("Permission mode"), self.mode),
                (self.tr("&Branch to start from"), self.branch),
            )
        ]
        self._columns = 0
        self._arrange(2)
        self.model.chosen.connect(self._choose_model)
        self.changed.connect(self._touch)
        self.branch.chosen.connect(lambda _value: self.changed.emit())
        self.effort.activated.connect(lambda _row: self.changed.emit())
        self.mode.activated.connect(lambda _row: self._choose_mode())
        self.show_options("", RunOptions())

    @property
    def options(self) -> RunOptions:
        """What is chosen."""
        adapter, model = _agent_of(self.model.value)
        return RunOptions(
            adapter,
            model,
            str(self.effort.currentData() or ""),
            str(self.mode.currentData() or ""),
            self.branch.value,
        )

    @property
    def touched(self) -> bool:
        """Whether the user has chosen something."""
        return self._touched

    def show_options(self, repository: str | None, options: RunOptions, *, touched: bool = False) -> None:
        """Show what a run of a repository would be started with, and ask which models there are.

        `touched`: the user has chosen these before.
        """
        self._touched = touched
        self._repository = repository or ""
        self._branches.set_repository(self._repository)
        self._fill(options)
        self._choices.models.load(self, self._models_known)

    def show_last(self, repository: str | None) -> None:
        """Show what the last run of a repository was started with."""
        self.show_options(repository, self._choices.last(repository))

    def set_repository(self, repository: str) -> None:
        """The task is about another repository: show its last run, unless the user has chosen something here."""
        if repository == self._repository:
            return
        if not self._touched:
            self.show_last(repository)
            return
        self._repository = repository
        self._branches.set_repository(repository)
        # The branch belongs to the other one.
        self.branch.set_value("")

    def focus_first(self) -> None:
        """Put the focus into the first field."""
        self.model.setFocus(Qt.FocusReason.OtherFocusReason)

    def _touch(self) -> None:
        self._touched = True

    def _fill(self, options: RunOptions) -> None:
        value = value_of(options.adapter, options.model)
        self._show_model(value)
        self._fill_modes(options.adapter if options.adapter in MODES else self._choices.models.usual(), options.mode)
        self._fill_efforts(options.effort)
        self.branch.set_value(options.branch)

    def _show_model(self, value: str) -> None:
        known = self._choices.models.model(value)
        adapter, model = _agent_of(value)
        title = known.title if known is not None else ""
        unknown = self.tr("The first that the server offers")
        self.model.set_value(value, model_words(adapter, model, title) if value else unknown)

    def _models_known(self) -> None:
        """The models have come: names and efforts are known now. What is chosen stays."""
        value = self.model.value
        if not value:
            # Nothing was run before: show what would be used.
            value = self._choices.models.first()
            self._fill_modes(_agent_of(value)[0] or self._adapter, str(self.mode.currentData() or ""))
        self._show_model(value)
        self._fill_efforts(str(self.effort.currentData() or ""))

    def _choose_model(self, value: str) -> None:
        if value and SEPARATOR not in value:
            # Typed, where the server lists none.
            value = value_of(adapter_of(value), value)
        adapter, model = _agent_of(value)
        former = self.options
        last = self._choices.last(self._repository, adapter)
        self._show_model(value)
        same_agent = adapter == _agent_of(value_of(former.adapter, former.model))[0]
        self._fill_modes(
            adapter or self._choices.models.usual(), former.mode if same_agent and former.mode else last.mode
        )
        self._fill_efforts(last.effort if last.model == model else former.effort)
        self.changed.emit()

    def _choose_mode(self) -> None:
        self._say_mode()
        self.changed.emit()

    def _fill_modes(self, adapter: str, mode: str) -> None:
        offered = offered_modes(adapter, bypass=self._choices.bypass)
        self._adapter = adapter
        _put(self.mode, offered, mode)
        self._say_mode()

    def _fill_efforts(self, effort: str) -> None:
        """Offer the efforts that the model knows. Those that it does not know are not sent."""
        known = self._choices.models.model(self.model.value)
        efforts: Sequence[str] = USUAL_EFFORTS if known is None or known.efforts is None else known.efforts
        if not self.model.value:
            efforts = ()
        elif effort and known is None and effort not in efforts:
            # Offline: what was chosen stays.
            efforts = (*efforts, effort)
        _put(self.effort, [("", effort_name("")), *((each, effort_name(each)) for each in efforts)], effort)
        self.effort.setEnabled(bool(efforts))
        self._no_effort.setText(
            "" if efforts or not self.model.value else self.tr("This model has no levels of effort.")
        )
        self._no_effort.setVisible(bool(self._no_effort.text()))

    def _say_mode(self) -> None:
        about = mode_about(self._adapter, str(self.mode.currentData() or ""))
        self._about.setText(about)
        self.mode.setAccessibleDescription(about)

    def _field(self, words: str, control: QWidget) -> QWidget:
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme().px(tokens.SPACE_1))
        label = Text(words)
        label.setBuddy(control)
        control.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        column.addWidget(label)
        column.addWidget(control)
        if control is self.mode:
            column.addWidget(self._about)
        if control is self.effort:
            column.addWidget(self._no_effort)
        column.addStretch()
        return box

    def _arrange(self, columns: int) -> None:
        if columns == self._columns:
            return
        self._columns = columns
        for number, field in enumerate(self._fields):
            self._grid.addWidget(field, number // columns, number % columns)
        for column in range(2):
            self._grid.setColumnStretch(column, int(column < columns))

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange(2 if self.width() >= theme().px(TWO_COLUMNS) else 1)


def _agent_of(value: str) -> tuple[str, str]:
    """The agent and the model of a choice."""
    adapter, _, model = value.partition(SEPARATOR)
    return (adapter, model) if model else ("", "")


def _put(select: Select, options: Sequence[tuple[str, str]], value: str) -> None:
    """Offer these, with `value` chosen, or the first."""
    with QSignalBlocker(select):
        select.clear()
        for each, words in options:
            select.addItem(words, each)
        select.setCurrentIndex(max(0, select.findData(value)))


def _can_be_branch(text: str) -> bool:
    """Whether a branch may be called so, as far as that can be told (git-check-ref-format)."""
    forbidden = any(character in text for character in " ~^:?*[\\\x7f") or any(ord(one) < 32 for one in text)
    return not forbidden and ".." not in text and len(text) <= LONGEST_BRANCH and not text.startswith(("-", "/"))
