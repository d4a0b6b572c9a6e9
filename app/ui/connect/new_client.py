"""The form of a new client: which program, what it is called, which servers it may use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.ui.connect.rename_bar import LONGEST_NAME
from app.ui.connect.server_checks import ServerChecks
from app.ui.connect.wording import program_words
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.choices import Select
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.fields import FieldError
from app.ui.widgets.leavable import LeavablePage
from app.ui.widgets.line_edit import LineEdit
from app.ui.widgets.page import TitledPage
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.core.errors import BurrowError
    from app.ui.connect.facts import ProgramFacts, ProxiedServer
    from app.ui.widgets.feedback import InlineCard


class NewClientPage(LeavablePage):
    """Emits `add_wanted(name, program id, servers)` when the fields are complete, `typed()` when the user changed one,
    and `left()`."""

    add_wanted = Signal(str, str, object)
    typed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._programs: dict[str, ProgramFacts] = {}
        self._servers: Sequence[ProxiedServer] = ()
        # The program that the user chose; it may not be listed yet.
        self._program = ""
        self._taken: frozenset[str] = frozenset()
        # Whether the name is the user's own. Else it follows the program.
        self._named = False
        self.back = QuietButton(self.tr("Back"), "back", kind="flat", keys="Esc", clicked=self.left.emit)
        self.back.setAccessibleName(self.tr("Back to the list"))
        self.page = TitledPage(self.tr("Add a client"))
        self.page.add_action(self.back)
        self.setWindowTitle(self.page.windowTitle())
        self.program = Select(self.tr("Program"))
        self.program.activated.connect(lambda _row: self._chosen())
        self.name = LineEdit()
        self.name.setAccessibleName(self.tr("Name"))
        self.name.setMaxLength(LONGEST_NAME)
        self.name.textEdited.connect(self._typed)
        self.error = FieldError(self.name)
        self.checks = ServerChecks()
        self.checks.chosen.connect(lambda _servers: self.typed.emit())
        self.add_button = PrimaryButton(self.tr("Add client"), keys="Ctrl+Return", clicked=self.submit)
        cancel = QuietButton(self.tr("Cancel"), clicked=self.left.emit)
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button)
        buttons.addWidget(cancel)
        buttons.addStretch()
        area = ScrollColumn(self.tr("Add a client"), side=tokens.SPACE_4, top=tokens.SPACE_2)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.box.setSpacing(theme().px(tokens.SPACE_4))
        area.box.addLayout(_field(self.tr("Program"), self.program))
        hint = self.tr("What it is called in this list and when Burrow asks about one of its calls.")
        area.box.addLayout(_field(self.tr("Name"), self.name, Text(hint, "caption", "muted", wrap=True), self.error))
        area.box.addLayout(_field(self.tr("Servers"), self.checks))
        area.box.addWidget(
            Text(self.tr("The next page has its key, which is shown only then."), tone="muted", wrap=True)
        )
        area.box.addLayout(buttons)
        area.box.addStretch(1)
        self.page.set_body(area)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.page)

    @property
    def card(self) -> InlineCard:
        """Where the form says something."""
        return self.page.card

    def typed_fields(self) -> dict[str, str]:
        """The name that the user typed, with what was chosen; empty while nothing was."""
        name, servers = self.name.text() if self._named else "", self.checks.value()
        if not (name.strip() or self._program or servers is not None):
            return {}
        chosen = "" if servers is None else json.dumps(sorted(servers))
        return {"name": name, "program": self._program, "servers": chosen}

    def fill(self, fields: Mapping[str, str]) -> None:
        """Put back what `typed_fields` gave."""
        self._program = fields.get("program", "")
        self.program.setCurrentIndex(max(self.program.findData(self._program), 0))
        name = fields.get("name", "")
        self._named = bool(name.strip())
        self.name.setText(name)
        self.checks.show_value(self._servers, _servers_in(fields.get("servers", "")))
        self._suggest()

    def show_choices(
        self, programs: Iterable[ProgramFacts], servers: Sequence[ProxiedServer], taken: Iterable[str]
    ) -> None:
        """Show these programs, those that are installed first. `taken` are the names of clients that there are."""
        ordered = sorted(programs, key=lambda each: not each.found)
        self._servers = servers
        self._taken = frozenset(name.casefold() for name in taken)
        known = {each.id: each for each in ordered}
        if list(known.items()) != list(self._programs.items()):
            self._programs = known
            former = self._program or self.program.currentData()
            self.program.clear()
            for each in ordered:
                self.program.addItem(program_words(each), each.id)
            self.program.setCurrentIndex(max(self.program.findData(former), 0))
        self.checks.show_value(servers, self.checks.value())
        self._suggest()

    def reset(self) -> None:
        """Empty the form."""
        self._named, self._program = False, ""
        self.error.say("")
        self.page.card.clear()
        self.checks.show_value(self._servers, None)
        self.program.setCurrentIndex(0)
        self._suggest()
        self.typed.emit()

    def submit(self) -> None:
        """Check the fields, then emit `add_wanted`."""
        if not self.add_button.isEnabled():
            return
        name = " ".join(self.name.text().split())
        self.page.card.clear()
        if not name:
            self.error.say(self.tr("This field is required."))
        elif name.casefold() in self._taken:
            self.error.say(self.tr("There is a client of this name. Choose another one to tell them apart."))
        else:
            self.error.say("")
            self.set_busy(True)
            self.add_wanted.emit(name, self.program.currentData() or "", self.checks.value())
            return
        self.name.setFocus(Qt.FocusReason.OtherFocusReason)

    def set_busy(self, busy: bool) -> None:
        """While a client is being added, no other one can be."""
        self.add_button.setEnabled(not busy)

    def show_failure(self, words: str, error: BurrowError) -> None:
        """Say why it was not added. The fields are kept."""
        self.set_busy(False)
        self.page.card.show_note(words, error.cause, error.advice, tone="bad")

    def focus_first(self) -> None:
        """Put the focus on the program."""
        self.program.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _typed(self, text: str) -> None:
        self._named = bool(text.strip())
        self.error.say("")
        self.typed.emit()

    def _chosen(self) -> None:
        self._program = self.program.currentData() or ""
        self._suggest()
        self.typed.emit()

    def _suggest(self) -> None:
        """Name the client like its program, with a number where there is one of that name."""
        if self._named:
            return
        program = self._programs.get(self.program.currentData() or "")
        base = program.title if program is not None else self.tr("Client")
        name, number = base, 2
        while name.casefold() in self._taken:
            name, number = f"{base} {number}", number + 1
        self.name.setText(name)


def _servers_in(text: str) -> frozenset[str] | None:
    """The servers of a draft; all of them where it says nothing that can be read."""
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return frozenset(map(str, found)) if isinstance(found, list) else None


def _field(words: str, field: QWidget, *more: QWidget) -> QVBoxLayout:
    caption = Text(words, "strong")
    caption.setBuddy(field)
    box = QVBoxLayout()
    box.setSpacing(theme().px(tokens.SPACE_1))
    box.addWidget(caption)
    box.addWidget(field)
    for each in more:
        box.addWidget(each)
    return box
