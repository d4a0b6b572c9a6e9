"""The page of an available server that is not installed yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.marks import revealed, revealed_name
from app.ui.servers.blocks import is_web
from app.ui.servers.labelled_field import LabelledField
from app.ui.servers.wording import auth_words, category_of, shown_name
from app.ui.theme import theme, tokens
from app.ui.widgets.bounded_text import FoldedText
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.fields import KeyValueGrid
from app.ui.widgets.leavable import LeavablePage
from app.ui.widgets.page import TitledPage
from app.ui.widgets.text import Text
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from app.core.posthog.types import ServerTemplate


class TemplatePage(LeavablePage):
    """An available server. Emits `connect_wanted(api_key)`, `open_wanted(installation id)`, `left()`."""

    connect_wanted = Signal(str)
    open_wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.template: ServerTemplate | None = None
        self._installed: str | None = None
        # The titles of servers and the keys that were typed for them, by the id of the template.
        self._keys: dict[str, tuple[str, str]] = {}
        self.page = TitledPage(parent=self)
        self.page.windowTitleChanged.connect(self.setWindowTitle)
        area = ScrollColumn(self.tr("Available server"), side=tokens.SPACE_4, top=tokens.SPACE_2)
        self.description = FoldedText(self.tr("Description of the server"))
        self.facts = KeyValueGrid()
        self.key = LabelledField(
            self.tr("API key"),
            self.tr("The host stores it and sends it as a bearer token. It is not shown again."),
            secret=True,
        )
        self.connect_button = PrimaryButton(self.tr("Connect"), clicked=self._connect)
        self.open_button = QuietButton(self.tr("Open"), clicked=self._open)
        self.docs_button = QuietButton(self.tr("Documentation"), "external", kind="flat", clicked=self._docs)
        buttons = QHBoxLayout()
        for button in (self.connect_button, self.open_button, self.docs_button):
            buttons.addWidget(button)
        buttons.addStretch()
        self.note = Text("", tone="muted", wrap=True)
        box = QVBoxLayout()
        box.setSpacing(theme().px(tokens.SPACE_4))
        for part in (self.description, self.facts, self.key, self.note):
            box.addWidget(part)
        box.addLayout(buttons)
        area.box.addLayout(box)
        area.box.addStretch()
        self.page.set_body(area)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.page)

    def show_template(self, template: ServerTemplate, installed: str | None) -> None:
        """Show a server; `installed` is the id of its installation, if there is one."""
        if self.template is None or self.template.id != template.id:
            self._keep_key()
            self.key.clear()
            self.key.set_text(self._keys.get(template.id, ("", ""))[1])
            self.page.card.clear()
        self.template, self._installed = template, installed
        self.page.set_title(shown_name(template.name or template.url))
        self.description.set_text(revealed(template.description))
        self.facts.clear()
        self.facts.add(self.tr("Address"), revealed_name(template.url), path=True, mono=True)
        self.facts.add(self.tr("Authentication"), auth_words(template.auth_type))
        self.facts.add(self.tr("Category"), category_of(template))
        with_key = template.auth_type == "api_key"
        self.key.setVisible(with_key and installed is None)
        if installed is not None:
            # The host has the key, or needs none.
            self.key.clear()
        self.connect_button.setVisible(installed is None)
        self.open_button.setVisible(installed is not None)
        self.docs_button.setVisible(is_web(template.docs_url))
        self.docs_button.setToolTip(plain_tip(template.docs_url))
        if installed is not None:
            self.note.setText(self.tr("Installed."))
        elif with_key:
            self.note.setText("")
        else:
            self.note.setText(
                self.tr("Your browser opens. Allow the connection there, with the account that you use here.")
            )
        self.note.setVisible(bool(self.note.text()))

    def typed_keys(self) -> list[str]:
        """The titles of the servers that a key was typed for and that are not installed."""
        self._keep_key()
        return [title for title, _ in self._keys.values()]

    def forget_keys(self) -> None:
        """Another account: forget what was typed."""
        self._keys.clear()
        self.key.clear()

    def _keep_key(self) -> None:
        if self.template is None:
            return
        if self.key.raw:
            self._keys[self.template.id] = (shown_name(self.template.name or self.template.url), self.key.raw)
        else:
            self._keys.pop(self.template.id, None)

    def set_busy(self, busy: bool) -> None:
        """While a server is being connected, no other can be."""
        self.connect_button.setEnabled(not busy)

    def _connect(self) -> None:
        if self.template is None:
            return
        if self.template.auth_type == "api_key" and not self.key.text:
            self.key.error.say(self.tr("This field is required."))
            self.key.edit.setFocus(Qt.FocusReason.OtherFocusReason)
            return
        self.key.error.say("")
        self.connect_wanted.emit(self.key.text)

    def _open(self) -> None:
        if self._installed is not None:
            self.open_wanted.emit(self._installed)

    def _docs(self) -> None:
        if self.template is not None and is_web(self.template.docs_url):
            QDesktopServices.openUrl(QUrl(self.template.docs_url))
