"""The pages beside the list, and above them the bars about connecting a server and about tools still allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from app.ui.servers.new_server import CustomServerPage
from app.ui.servers.server_page import ServerPage
from app.ui.servers.template_page import TemplatePage
from app.ui.theme import theme
from app.ui.widgets.feedback import Banner, EmptyState

if TYPE_CHECKING:
    from app.ui.bridge import Bridge

AT_LEAST = 280


class ServerPages(QWidget):
    """`server`: an installed one. `template`: an available one. `custom`: the form of a new one. `nothing`."""

    def __init__(self, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.banner = Banner()
        self.allowed_banner = Banner()
        # Made before its pages: Qt styles a widget and all inside it again whenever it gets another parent.
        self.stack = QStackedWidget()
        self.setMinimumWidth(theme().px(AT_LEAST))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.banner)
        column.addWidget(self.allowed_banner)
        column.addWidget(self.stack, 1)
        self.nothing = EmptyState(parent=self.stack)
        self.server = ServerPage(bridge, self.stack)
        self.template = TemplatePage(self.stack)
        self.custom = CustomServerPage(self.stack)
        for page in (self.nothing, self.server, self.template, self.custom):
            self.stack.addWidget(page)

    @property
    def shows_server(self) -> bool:
        """Whether an installed server is in view."""
        return self.stack.currentWidget() is self.server

    @property
    def shows_custom(self) -> bool:
        """Whether the form of a server by its address is in view."""
        return self.stack.currentWidget() is self.custom

    @property
    def shows_nothing(self) -> bool:
        """Whether no server is in view."""
        return self.stack.currentWidget() is self.nothing

    def turn_to(self, page: QWidget) -> None:
        """Bring a page into view."""
        self.stack.setCurrentWidget(page)

    def start(self) -> None:
        """Another account or project: clear the pages."""
        self.server.close_tool()
        self.server.server = None
        self.server.tools.clear()
        # What could be undone belongs to the former account.
        self.server.page.undo.drop()
        self.server.page.card.clear()
        self.server.question.withdraw()
        self.banner.clear()
