"""Where the form of a run opens: below the buttons of a task, and inside the composer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QVBoxLayout

from app.core.posthog.run_options import decode, encode
from app.ui.tasks.card_form import CardForm
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.flow import FlowLayout

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QWidget

    from app.core.posthog.run_options import RunOptions
    from app.ui.tasks.run_form import RunForm
    from app.ui.tasks.run_sources import RunChoices


class RunPanel(CardForm):
    """The form of a run in a card below the buttons. `run_wanted(RunOptions)`; `closed` by Esc or its button."""

    run_wanted = Signal(object)

    def __init__(self, choices: RunChoices, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        current = theme()
        self.setProperty("card", "true")
        self.setAccessibleName(self.tr("Run with"))
        from app.ui.tasks.run_form import RunForm

        self.form = RunForm(choices)
        self.run_button = PrimaryButton(self.tr("Run"), "play", keys="Ctrl+Return", clicked=self._submit)
        self.close_button = QuietButton(self.tr("Close"), kind="flat", keys="Esc", clicked=self.close_now)
        buttons = FlowLayout()
        for button in (self.run_button, self.close_button):
            buttons.addWidget(button)
        box = QVBoxLayout(self)
        edge = current.px(tokens.SPACE_3)
        box.setContentsMargins(edge, edge, edge, edge)
        box.setSpacing(current.px(tokens.SPACE_3))
        box.addWidget(self.form)
        box.addLayout(buttons)
        self.setVisible(False)

    def open_for(self, repository: str | None, options: RunOptions) -> None:
        """Show the form for a task of this repository."""
        self.form.show_options(repository, options)
        self.setVisible(True)
        self.form.focus_first()

    def _submit(self) -> None:
        options = self.form.options
        self.close_now()
        self.run_wanted.emit(options)


class RunBox(QFrame):
    """The form of a run inside another form; hidden until `button` is pressed.

    `choices` is what runs can be started with, once that is known; `repository` gives the one that the task is about.
    `changed` when the user chose something.
    """

    changed = Signal()

    def __init__(self, repository: Callable[[], str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.choices: RunChoices | None = None
        self.form: RunForm | None = None
        self._repository = repository
        self.setProperty("card", "true")
        self.setAccessibleName(self.tr("Run with"))
        self.button = QuietButton(self.tr("Run with…"), clicked=self._toggle)
        self.button.setToolTip(self.tr("Choose model, effort, permission mode and branch first"))
        self._box = QVBoxLayout(self)
        edge = theme().px(tokens.SPACE_3)
        self._box.setContentsMargins(edge, edge, edge, edge)
        self.setVisible(False)

    @property
    def options(self) -> RunOptions | None:
        """What is chosen; None while the form is hidden."""
        return self.form.options if self.form is not None and not self.isHidden() else None

    def text(self) -> str:
        """What the user chose, as it is stored; empty while that is as the last time."""
        options = self.options
        return encode(options) if options is not None and self.form is not None and self.form.touched else ""

    def put(self, text: str) -> None:
        """Show what is stored, without `changed`."""
        options = decode(text) if text else None
        self.show_form(options is not None)
        if options is not None and self.form is not None:
            self.form.show_options(self._repository(), options, touched=True)

    def show_form(self, shown: bool) -> None:
        """Show what a run of the repository was started with the last time, to be changed; or hide it."""
        if shown and self.choices is not None:
            if self.form is None:
                from app.ui.tasks.run_form import RunForm

                self.form = RunForm(self.choices)
                self.form.changed.connect(self.changed)
                self._box.addWidget(self.form)
            self.setVisible(True)
            self.form.show_last(self._repository())
        else:
            self.setVisible(False)
        self.button.setText(self.tr("Run with…") if self.isHidden() else self.tr("Hide run options"))

    def _toggle(self) -> None:
        self.show_form(self.isHidden())
        if self.form is not None and not self.isHidden():
            self.form.focus_first()
        self.changed.emit()

    def follow_repository(self) -> None:
        """The task may be about another repository now."""
        if self.form is not None and not self.isHidden():
            self.form.set_repository(self._repository())
