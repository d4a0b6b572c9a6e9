"""The left part of the place: installed servers, and those that the store offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QStackedWidget, QVBoxLayout, QWidget

from app.core.errors import Offline, SignInNeeded
from app.ui.servers.rows import server_row, template_groups
from app.ui.servers.wording import CATEGORIES, category_words
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import PrimaryButton
from app.ui.widgets.choices import Select, TabStrip
from app.ui.widgets.feedback import EmptyState, ProgressLine
from app.ui.widgets.fields import FilterField
from app.ui.widgets.lists import ListTable
from app.ui.widgets.page import SidePane
from app.ui.widgets.waiting import CANCEL_AFTER, WORDS_AFTER, WaitClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.errors import BurrowError
    from app.ui.servers.controller import ServerController
    from app.ui.widgets.feedback import Action

INSTALLED, AVAILABLE = range(2)
NARROWEST = 208


class ServerPane(SidePane):
    """Emits `server_picked(id)`, `server_opened(id)`, `server_toggled(id)`, `template_picked(id)`, `add_wanted()`."""

    server_picked = Signal(object)
    server_opened = Signal(object)
    server_toggled = Signal(object)
    template_picked = Signal(object)
    template_opened = Signal(object)
    add_wanted = Signal()
    sign_in_wanted = Signal()

    def __init__(self, controller: ServerController, parent: QWidget | None = None) -> None:
        super().__init__("", parent)
        self.setAccessibleName(self.tr("Servers"))
        self._controller = controller
        self._waiting: frozenset[str] = frozenset()
        self.add_button = PrimaryButton(
            self.tr("Add server"), "plus", keys="Ctrl+Shift+N", clicked=self.add_wanted.emit
        )
        self.tabs = TabStrip([self.tr("Installed"), self.tr("Available")], self.tr("Servers"))
        self.tabs.currentChanged.connect(self._show_tab)
        self.progress = ProgressLine(self.tr("Loading servers"))
        self.wait = WaitClock(self)
        self.wait.ticked.connect(self._show_waiting)
        self.servers = ListTable(self.tr("Installed servers"), two_lines=True)
        self.servers.picked.connect(self.server_picked)
        self.servers.opened.connect(self.server_opened)
        self.servers.toggled.connect(self.server_toggled)
        self.no_servers = EmptyState()
        self.filter = FilterField(self.tr("Search available servers"))
        categories = [("", self.tr("All categories")), *((each, category_words(each)) for each in CATEGORIES)]
        self.category = Select(self.tr("Category"), categories)
        self.templates = ListTable(self.tr("Available servers"), two_lines=True)
        self.templates.picked.connect(self.template_picked)
        self.templates.opened.connect(self.template_opened)
        self.no_templates = EmptyState()
        self.filter.changed.connect(lambda _text: self.show_templates())
        self.filter.down.connect(lambda: self.templates.setFocus(Qt.FocusReason.TabFocusReason))
        self.templates.left_upwards.connect(lambda: self.filter.setFocus(Qt.FocusReason.BacktabFocusReason))
        self.category.currentIndexChanged.connect(lambda _at: self.show_templates())
        self._installed = QStackedWidget()
        self._installed.addWidget(self.servers)
        self._installed.addWidget(self.no_servers)
        self._available = QStackedWidget()
        self._available.addWidget(self.templates)
        self._available.addWidget(self.no_templates)
        offers = QWidget()
        column = QVBoxLayout(offers)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme().px(tokens.SPACE_2))
        search = QVBoxLayout()
        side = theme().px(tokens.SPACE_4)
        search.setContentsMargins(side, 0, side, 0)
        search.setSpacing(theme().px(tokens.SPACE_2))
        search.addWidget(self.filter)
        search.addWidget(self.category)
        column.addLayout(search)
        column.addWidget(self._available, 1)
        self.stack = QStackedWidget()
        self.stack.addWidget(self._installed)
        self.stack.addWidget(offers)
        self.set_head(self.add_button)
        self.add_padded(self.tabs)
        self.box.addWidget(self.progress)
        self.box.addWidget(self.stack, 1)
        self._fit()
        theme().changed.connect(self._fit)

    def _fit(self) -> None:
        self.setMinimumWidth(theme().px(NARROWEST))

    @property
    def available(self) -> bool:
        """Whether the available servers are shown."""
        return self.tabs.currentIndex() == AVAILABLE

    def show_servers(self) -> None:
        """Show the installed servers as they are now."""
        controller = self._controller
        if controller.loading or controller.loading_templates:
            self.progress.start()
        else:
            self.progress.stop()
        self._set_wait()
        self.tabs.setTabVisible(AVAILABLE, controller.backend is not None)
        self._show_rows()
        self._installed.setCurrentWidget(self.servers if controller.servers else self.no_servers)
        if controller.servers:
            return
        if controller.error is not None:
            self._show_error(self.no_servers, controller.error, lambda: controller.load(refresh=True))
        elif controller.loaded:
            browse: Action = (self.tr("Browse available servers"), self.show_available)
            add: Action = (self.tr("Add server"), self.add_wanted.emit)
            connected = controller.backend is not None
            self.no_servers.show_state(
                self.tr("No servers yet"),
                self.tr("Connect an available server, or add your own.")
                if connected
                else self.tr("Add one by its address. It needs no PostHog account."),
                [browse] if connected else [add],
                glyph="servers",
            )
        elif not self._waited:
            self.no_servers.show_state("")

    def set_waiting(self, server_ids: frozenset[str]) -> None:
        """Set the servers of which a call waits for the sign-in."""
        if server_ids != self._waiting:
            self._waiting = server_ids
            self._show_rows()

    def show_templates(self) -> None:
        """Show the available servers that match the search."""
        controller = self._controller
        needle, category = self.filter.text().strip(), self.category.currentData() or ""
        groups = template_groups(controller.templates or (), needle, category)
        self.templates.set_groups(groups)
        self._available.setCurrentWidget(self.templates if groups else self.no_templates)
        if groups:
            return
        if controller.template_error is not None and not controller.templates:
            self._show_error(
                self.no_templates, controller.template_error, lambda: controller.load_templates(refresh=True)
            )
        elif controller.templates is None:
            if not self._waited:
                self.no_templates.show_state("")
        elif needle or category:
            self.no_templates.show_state(
                self.tr("No servers match"), "", [(self.tr("Clear search"), self._clear)], glyph="search"
            )
        else:
            self.no_templates.show_state(self.tr("No servers are available here"), glyph="servers")

    @property
    def _waited(self) -> bool:
        """Whether the wait is so long that it is told."""
        return self.wait.seconds >= WORDS_AFTER

    def _set_wait(self) -> None:
        controller = self._controller
        if self.available:
            self.wait.set_since(controller.offers_asked_at if controller.loading_templates else None)
        else:
            self.wait.set_since(controller.list_asked_at if controller.loading else None)

    def _show_waiting(self) -> None:
        """Say for how long the list has not come, where there is none; after a while, offer to stop waiting."""
        controller = self._controller
        empty = self.no_templates if self.available else self.no_servers
        if controller.templates if self.available else controller.servers:
            return
        words = self.tr("Loading servers… {0} s").format(self.wait.seconds)
        offered = self.wait.seconds >= CANCEL_AFTER
        if self.wait.seconds in {WORDS_AFTER, CANCEL_AFTER} or empty.accessibleName() == "":
            empty.show_state(words, "", [(self.tr("Cancel"), controller.cancel_list)] if offered else [], glyph="clock")
        else:
            # The button stays, and with it the focus.
            empty.say(words)

    def show_installed(self) -> None:
        """Show the list of installed servers."""
        self.tabs.setCurrentIndex(INSTALLED)

    def show_available(self) -> None:
        """Show the list of available servers."""
        self.tabs.setCurrentIndex(AVAILABLE)

    def reset(self) -> None:
        """Another account or project: show the installed servers, without selection or search."""
        self.filter.set_text_quietly("")
        self.category.setCurrentIndex(0)
        self.tabs.setCurrentIndex(INSTALLED)
        self.servers.select_key(None, quiet=True)
        self.templates.select_key(None, quiet=True)

    def _show_rows(self) -> None:
        self.servers.set_rows([server_row(each, waiting=each.id in self._waiting) for each in self._controller.servers])

    def _show_tab(self, tab: int) -> None:
        self.stack.setCurrentIndex(max(tab, 0))
        self._set_wait()
        if tab == AVAILABLE:
            self._controller.load_templates()
            self.show_templates()
            self.template_picked.emit(self.templates.current_key() or "")
        else:
            self.server_picked.emit(self.servers.current_key() or "")

    def _clear(self) -> None:
        self.category.setCurrentIndex(0)
        self.filter.clear_now()

    def _show_error(self, empty: EmptyState, error: BurrowError, again: Callable[[], None]) -> None:
        if isinstance(error, SignInNeeded):
            actions: list[Action] = [(self.tr("Sign in"), self.sign_in_wanted.emit)]
        else:
            actions = [(self.tr("Try again"), again)]
        glyph = "offline" if isinstance(error, Offline) else "warning"
        empty.show_state(error.title, f"{error.cause}\n{error.advice}", actions, glyph=glyph)
