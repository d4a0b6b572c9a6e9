"""Keeps what is typed about new servers: in the drafts of the account, and the secrets in memory only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.ui.form_draft import NewItemDraft

if TYPE_CHECKING:
    from PySide6.QtCore import QObject

    from app.core.services import Services
    from app.core.storage import Scope
    from app.ui.bridge import Bridge
    from app.ui.servers.new_server import CustomServerPage
    from app.ui.servers.template_page import TemplatePage

KIND = "server"


class NewServerDraft(NewItemDraft):
    """The draft of the form of a new server. Without an account it belongs to this computer."""

    def __init__(
        self, services: Services, bridge: Bridge, page: CustomServerPage, offered: TemplatePage, parent: QObject
    ) -> None:
        words = QCoreApplication.translate("NewServerDraft", "Another server was typed in another window")
        super().__init__(services, bridge, page, KIND, words, parent)
        self._page, self._offered = page, offered

    def start(self, scope: Scope | None) -> None:
        """See `NewItemDraft`."""
        super().start(scope)
        self._offered.forget_keys()

    @property
    def unsaved(self) -> bool:
        """Whether something is not saved yet, or never will be."""
        return super().unsaved or bool(self.unsaved_text())

    def unsaved_text(self) -> str:
        """Which secrets were typed, not what they are: they are not stored before the server is added."""
        found = [self.tr("Add a server: {0}").format(label) for label in self._page.typed_secrets()]
        found += [self.tr("{0}: API key").format(title) for title in self._offered.typed_keys()]
        return "\n".join(self.tr("{0} (not stored)").format(each) for each in found)
