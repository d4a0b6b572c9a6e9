"""The pages of servers that are not installed yet: an available one, and one by its address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from app.marks import revealed, revealed_name
from app.ui.servers.blocks import is_web
from app.ui.servers.wording import auth_words, category_of, shown_name
from app.ui.theme import theme, tokens
from app.ui.widgets.bounded_text import FoldedText
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.choices import Segmented
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.feedback import InlineCard
from app.ui.widgets.fields import FieldError, KeyValueGrid
from app.ui.widgets.guard import guarded
from app.ui.widgets.line_edit import LineEdit
from app.ui.widgets.page import TitledPage
from app.ui.widgets.plain_text import PlainTextEdit
from app.ui.widgets.submit_key import commit_composition
from app.ui.widgets.text import Text
from app.ui.widgets.tips import plain_tip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtGui import QKeyEvent

    from app.core.errors import BurrowError
    from app.core.posthog.types import ServerTemplate


class LabelledField(QWidget):
    """A label, a text field, and its error."""

    def __init__(self, label: str, hint: str = "", *, secret: bool = False, tall: bool = False) -> None:
        super().__init__()
        self.label = label
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(theme().px(tokens.SPACE_1))
        caption = Text(label, "strong")
        self.edit: QLineEdit | PlainTextEdit
        if tall:
            self.edit = PlainTextEdit()
            self.edit.setTabChangesFocus(True)
            self.edit.setFixedHeight(theme().px(64))
        else:
            self.edit = LineEdit()
            if secret:
                self.edit.setEchoMode(QLineEdit.EchoMode.Password)
        self.edit.setAccessibleName(label)
        caption.setBuddy(self.edit)
        self.error = FieldError(self.edit)
        box.addWidget(caption)
        box.addWidget(self.edit)
        if hint:
            box.addWidget(Text(hint, "caption", "muted", wrap=True))
        box.addWidget(self.error)

    @property
    def text(self) -> str:
        """What is sent: without blanks around it."""
        return self.raw.strip()

    @property
    def raw(self) -> str:
        """What was typed."""
        return self.edit.text() if isinstance(self.edit, QLineEdit) else self.edit.toPlainText()

    def set_text(self, text: str) -> None:
        """Replace what was typed."""
        if isinstance(self.edit, QLineEdit):
            self.edit.setText(text)
        else:
            self.edit.setPlainText(text)

    def clear(self) -> None:
        """Empty the field."""
        self.edit.clear()
        self.error.say("")


class TemplatePage(QWidget):
    """An available server. Emits `connect_wanted(api_key)`, `open_wanted(installation id)`, `left()`."""

    connect_wanted = Signal(str)
    open_wanted = Signal(str)
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.template: ServerTemplate | None = None
        self._installed: str | None = None
        # The titles of servers and the keys that were typed for them, by the id of the template.
        self._keys: dict[str, tuple[str, str]] = {}
        self.page = TitledPage()
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

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)


class CustomServerPage(QWidget):
    """The form of a server by its address.

    Emits `add_wanted()` when the fields are complete, `typed()` when the person changed one, and `left()`.
    """

    add_wanted = Signal()
    typed = Signal()
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.back = QuietButton(self.tr("Back"), "back", kind="flat", keys="Esc", clicked=self.left.emit)
        self.back.setAccessibleName(self.tr("Back to the list"))
        self.page = TitledPage(self.tr("Add a server"))
        self.page.add_action(self.back)
        self.setWindowTitle(self.page.windowTitle())
        self.name = LabelledField(self.tr("Name"))
        self.url = LabelledField(self.tr("Address"), self.tr("The URL of its MCP endpoint, https://…"))
        self.description = LabelledField(self.tr("Description"), tall=True)
        self.auth = Segmented(
            [("oauth", self.tr("OAuth"), "", "accent"), ("api_key", self.tr("API key"), "", "accent")],
            self.tr("Authentication"),
        )
        self.auth.set_value("oauth")
        self.auth.chosen.connect(lambda _value: self._show_auth())
        self.key = LabelledField(self.tr("API key"), self.tr("The host sends it as a bearer token."), secret=True)
        self.advanced = QuietButton(
            self.tr("Use your own OAuth client"), "chevron-right", kind="flat", clicked=self._toggle_advanced
        )
        self.client_id = LabelledField(
            self.tr("Client id"), self.tr("For servers without dynamic client registration.")
        )
        self.client_secret = LabelledField(self.tr("Client secret"), secret=True)
        self._open_fields = {
            "name": self.name,
            "url": self.url,
            "description": self.description,
            "client_id": self.client_id,
        }
        for typed in (*self._open_fields.values(), self.key, self.client_secret):
            typed.edit.textChanged.connect(lambda *_: self.typed.emit())
        self._advanced_open = False
        self.location = Segmented(
            [("store", self.tr("In PostHog"), "", "accent"), ("own", self.tr("On this computer"), "", "accent")],
            self.tr("Where to keep it"),
        )
        self.location.set_value("store")
        self.location.chosen.connect(lambda _value: self._show_location())
        self.location.chosen.connect(lambda _value: self.typed.emit())
        self.auth.chosen.connect(lambda _value: self.typed.emit())
        self.location_words = Text("", "caption", "muted", wrap=True)
        # With a parent from the start: a card without one would open as a window.
        self.limits = InlineCard(self)
        self.limits.show_note(
            self.tr("Limits of the store"),
            self.tr("The store sends a bearer token only. Basic authentication and custom headers are not supported."),
            tone="info",
        )
        self.card = InlineCard()
        self.add_button = PrimaryButton(self.tr("Add server"), keys="Ctrl+Return", clicked=self.submit)
        cancel = QuietButton(self.tr("Cancel"), clicked=self.left.emit)
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button)
        buttons.addWidget(cancel)
        buttons.addStretch()
        area = ScrollColumn(self.tr("Add a server"), side=tokens.SPACE_4, top=tokens.SPACE_2)
        box = QVBoxLayout()
        box.setSpacing(theme().px(tokens.SPACE_4))
        box.addWidget(self.card)
        location = QVBoxLayout()
        location.setSpacing(theme().px(tokens.SPACE_1))
        location.addWidget(Text(self.tr("Where to keep it"), "strong"))
        location.addWidget(self.location)
        location.addWidget(self.location_words)
        box.addLayout(location)
        for part in (self.name, self.url, self.description):
            box.addWidget(part)
        sign_in = QVBoxLayout()
        sign_in.setSpacing(theme().px(tokens.SPACE_1))
        sign_in.addWidget(Text(self.tr("Authentication"), "strong"))
        sign_in.addWidget(self.auth)
        box.addLayout(sign_in)
        rest: list[QWidget] = [self.key, self.advanced, self.client_id, self.client_secret, self.limits]
        for each in rest:
            box.addWidget(each)
        box.addLayout(buttons)
        area.box.addLayout(box)
        area.box.addStretch()
        self.page.set_body(area)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.page)
        self._show_auth()
        self._show_location()

    @property
    def on_this_machine(self) -> bool:
        """Whether the server is to be one of the user's own."""
        return self.location.value() == "own"

    def show_locations(self, *, store: bool) -> None:
        """Without an account there is no store: the server can be kept on this machine only."""
        if not store:
            self.location.set_value("own")
        self.location.setVisible(store)
        self._show_location()

    def submit(self) -> None:
        """Check the fields, then emit `add_wanted`."""
        commit_composition()
        self.card.clear()
        needed = [
            (self.name, bool(self.name.text), self.tr("This field is required.")),
            (self.url, is_web(self.url.text), self.tr("Enter an address that starts with https://")),
        ]
        if self.auth.value() == "api_key":
            needed.append((self.key, bool(self.key.text), self.tr("This field is required.")))
        first: LabelledField | None = None
        for field, good, words in needed:
            field.error.say("" if good else words)
            first = first or (None if good else field)
        if first is not None:
            first.edit.setFocus(Qt.FocusReason.OtherFocusReason)
            return
        self.add_wanted.emit()

    def show_failure(self, error: BurrowError) -> None:
        """Show why the store refused the server. The fields are kept."""
        fields = {"name": self.name, "url": self.url, "api_key": self.key, "client_id": self.client_id}
        field = fields.get(error.facts.attr or "")
        if field is not None:
            field.error.say(error.facts.detail or error.cause)
            return
        self.card.show_note(error.title, error.facts.detail or error.cause, error.advice, tone="bad")

    def reset(self) -> None:
        """Empty the form."""
        for field in (self.name, self.url, self.description, self.key, self.client_id, self.client_secret):
            field.clear()
        self.card.clear()

    def typed_fields(self) -> dict[str, str]:
        """What was typed and chosen, without secrets; empty when nothing was typed."""
        texts = {name: field.raw for name, field in self._open_fields.items()}
        if not any(texts.values()):
            return {}
        return {**texts, "auth": self.auth.value() or "", "location": self.location.value() or ""}

    def fill(self, fields: Mapping[str, str]) -> None:
        """Put back what `typed_fields` gave."""
        for name, field in self._open_fields.items():
            field.set_text(fields.get(name, ""))
        for choice, name in ((self.auth, "auth"), (self.location, "location")):
            if fields.get(name):
                choice.set_value(fields[name])
        self._advanced_open = self._advanced_open or bool(self.client_id.text)
        self._show_auth()
        self._show_location()

    def typed_secrets(self) -> list[str]:
        """The labels of the secret fields that have a value."""
        return [field.label for field in (self.key, self.client_secret) if field.raw]

    def focus_first(self) -> None:
        self.name.edit.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _show_auth(self) -> None:
        oauth = self.auth.value() == "oauth"
        self.key.setVisible(not oauth)
        self.advanced.setVisible(oauth)
        self.client_id.setVisible(oauth and self._advanced_open)
        self.client_secret.setVisible(oauth and self._advanced_open)

    def _show_location(self) -> None:
        own = self.on_this_machine
        self.location_words.setText(
            self.tr("Burrow connects to it directly. Every account sees it, and you need not be signed in.")
            if own
            else self.tr("PostHog stores it. Agents in the cloud can use it.")
        )
        self.limits.setVisible(not own)

    def _toggle_advanced(self) -> None:
        self._advanced_open = not self._advanced_open
        self.advanced.set_icon_name("chevron-down" if self._advanced_open else "chevron-right")
        self._show_auth()

    @guarded()
    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)
