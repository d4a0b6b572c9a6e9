"""The page of a server that the user adds: at an address, or as a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.core.mcp.servers.definitions import HttpServer, SseServer, StdioServer
from app.ui.servers.blocks import is_web
from app.ui.servers.labelled_field import LabelledField
from app.ui.servers.process_fields import ProcessFields
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton, QuietButton
from app.ui.widgets.choices import Segmented
from app.ui.widgets.column import ScrollColumn
from app.ui.widgets.feedback import InlineCard
from app.ui.widgets.leavable import LeavablePage
from app.ui.widgets.page import TitledPage
from app.ui.widgets.submit_key import commit_composition
from app.ui.widgets.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.errors import BurrowError

# How a server is reached, by the kind of its definition.
HTTP, SSE, COMMAND = HttpServer.kind, SseServer.kind, StdioServer.kind


class CustomServerPage(LeavablePage):
    """The form of a server that is reached at an address or started by a command.

    Emits `add_wanted()` when the fields are complete, `typed()` when the person changed one, and `left()`.
    """

    add_wanted = Signal()
    typed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.back = QuietButton(self.tr("Back"), "back", kind="flat", keys="Esc", clicked=self.left.emit)
        self.back.setAccessibleName(self.tr("Back to the list"))
        self.page = TitledPage(self.tr("Add a server"), self)
        self.page.add_action(self.back)
        self.setWindowTitle(self.page.windowTitle())
        self.name = LabelledField(self.tr("Name"))
        self.reached = Segmented(
            [
                (HTTP, self.tr("HTTP"), "", "accent"),
                (SSE, self.tr("HTTP+SSE"), "", "accent"),
                (COMMAND, self.tr("Command"), "", "accent"),
            ],
            self.tr("How it is reached"),
        )
        self.reached.set_value(HTTP)
        self.reached_words = Text("", "caption", "muted", wrap=True)
        self.url = LabelledField(self.tr("Address"), self.tr("The URL of its MCP endpoint, https://…"))
        self.process = ProcessFields()
        self.process.typed.connect(self.typed)
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
        for choice in (self.reached, self.location):
            choice.chosen.connect(lambda _value: self._show_location())
            choice.chosen.connect(lambda _value: self.typed.emit())
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
        area = ScrollColumn(self.tr("Add a server"), self.page.body, side=tokens.SPACE_4, top=tokens.SPACE_2)
        box = QVBoxLayout()
        box.setSpacing(theme().px(tokens.SPACE_4))
        box.addWidget(self.card)
        self._location_part = _titled(self.tr("Where to keep it"), self.location, self.location_words)
        self._auth_part = _titled(self.tr("Authentication"), self.auth)
        box.addWidget(_titled(self.tr("How it is reached"), self.reached, self.reached_words))
        for part in (self._location_part, self.name, self.url, self.process, self.description, self._auth_part):
            box.addWidget(part)
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
        self._has_store = True
        self._show_location()

    @property
    def on_this_machine(self) -> bool:
        """Whether the server is to be one of the user's own. The store takes addresses of streamable HTTP only."""
        return self.location.value() == "own" or self.reached.value() != HTTP

    @property
    def is_command(self) -> bool:
        """Whether the server is a process."""
        return self.reached.value() == COMMAND

    def show_locations(self, *, store: bool) -> None:
        """Without an account there is no store: the server can be kept on this machine only."""
        if not store:
            self.location.set_value("own")
        self._has_store = store
        self._show_location()

    def choose_kind(self, kind: str) -> None:
        """Show the fields of servers that are reached so: `HTTP`, `SSE` or `COMMAND`."""
        self.reached.set_value(kind)
        self._show_location()

    def submit(self) -> None:
        """Check the fields, then emit `add_wanted`."""
        commit_composition()
        self.card.clear()
        for each in (*self._open_fields.values(), self.key, *self.process.fields.values()):
            each.error.say("")
        required = self.tr("This field is required.")
        needed = [(self.name, bool(self.name.text), required)]
        if self.is_command:
            needed.append((self.process.command, bool(self.process.command.text), required))
        else:
            address = self.tr("Enter an address that starts with https://")
            needed.append((self.url, is_web(self.url.text), address))
            if self.auth.value() == "api_key":
                needed.append((self.key, bool(self.key.text), required))
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
        field = {**fields, **self.process.fields}.get(error.facts.attr or "")
        if field is not None and field.isVisibleTo(self):
            field.error.say(error.facts.detail or error.cause)
            field.edit.setFocus(Qt.FocusReason.OtherFocusReason)
            return
        self.card.show_note(error.title, error.facts.detail or error.cause, error.advice, tone="bad")

    def reset(self) -> None:
        """Empty the form."""
        for field in (self.name, self.url, self.description, self.key, self.client_id, self.client_secret):
            field.clear()
        self.process.clear()
        self.card.clear()

    def typed_fields(self) -> dict[str, str]:
        """What was typed and chosen, without secrets; empty when nothing was typed."""
        texts = {name: field.raw for name, field in self._open_fields.items()} | self.process.typed_fields()
        if not any(texts.values()):
            return {}
        choices = {"auth": self.auth, "location": self.location, "reached": self.reached}
        return {**texts, **{name: choice.value() or "" for name, choice in choices.items()}}

    def fill(self, fields: Mapping[str, str]) -> None:
        """Put back what `typed_fields` gave."""
        for name, field in self._open_fields.items():
            field.set_text(fields.get(name, ""))
        for choice, name in ((self.auth, "auth"), (self.location, "location"), (self.reached, "reached")):
            if fields.get(name):
                choice.set_value(fields[name])
        self.process.fill(fields)
        self._advanced_open = self._advanced_open or bool(self.client_id.text)
        self._show_location()

    def typed_secrets(self) -> list[str]:
        """The labels of the secret fields that have a value."""
        return [field.label for field in (self.key, self.client_secret, self.process.environment) if field.raw]

    def focus_first(self) -> None:
        self.name.edit.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _show_auth(self) -> None:
        address, oauth = not self.is_command, self.auth.value() == "oauth"
        self._auth_part.setVisible(address)
        self.key.setVisible(address and not oauth)
        self.advanced.setVisible(address and oauth)
        self.client_id.setVisible(address and oauth and self._advanced_open)
        self.client_secret.setVisible(address and oauth and self._advanced_open)

    def _show_location(self) -> None:
        own = self.on_this_machine
        self.location.setVisible(self._has_store)
        self._location_part.setVisible(self.reached.value() == HTTP)
        self.location_words.setText(
            self.tr("Burrow connects to it directly. Every account sees it, and you need not be signed in.")
            if own
            else self.tr("PostHog stores it. Agents in the cloud can use it.")
        )
        words = {
            HTTP: self.tr("At an address, over streamable HTTP."),
            SSE: self.tr("At an address, over the older HTTP+SSE. Burrow keeps it on this computer."),
            COMMAND: self.tr("A program that Burrow starts on this computer, for every account."),
        }
        self.reached_words.setText(words[self.reached.value() or HTTP])
        self.url.setVisible(not self.is_command)
        self.process.setVisible(self.is_command)
        self.limits.setVisible(not own)
        self._show_auth()

    def _toggle_advanced(self) -> None:
        self._advanced_open = not self._advanced_open
        self.advanced.set_icon_name("chevron-down" if self._advanced_open else "chevron-right")
        self._show_auth()


def _titled(title: str, *parts: QWidget) -> QWidget:
    """A choice below its title."""
    whole = QWidget()
    box = QVBoxLayout(whole)
    box.setContentsMargins(0, 0, 0, 0)
    box.setSpacing(theme().px(tokens.SPACE_1))
    box.addWidget(Text(title, "strong"))
    for part in parts:
        box.addWidget(part)
    return whole
