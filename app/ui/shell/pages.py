"""The two pages of the window: the first page with its ways to start, and the places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.core.auth.status import CredentialState
from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.core.services import Services
    from app.ui.shell.backend_follower import BackendFollower
    from app.ui.signin.connector import HostConnector
    from app.ui.signin.first_run import FirstRun


class WindowPages(QStackedWidget):
    """Shows the first page while a server is to be chosen, else the places.

    That is when the user asks for it, and while nobody is signed in, unless they work without an account.
    """

    def __init__(
        self,
        places: QWidget,
        services: Services,
        follower: BackendFollower,
        connector: HostConnector | None,
        doors: Sequence[tuple[str, str, Callable[[], None]]] = (),
    ) -> None:
        """`doors` stand below the first page: words, keys, and what they open."""
        super().__init__()
        self._doors = tuple(doors)
        self._first_page: QWidget | None = None
        self._places, self._services, self._follower, self._connector = places, services, follower, connector
        self._first_run: FirstRun | None = None
        self.choosing_host = False
        self.addWidget(places)

    @property
    def shows_places(self) -> bool:
        """Whether the places are in view."""
        return self.currentWidget() is self._places

    @property
    def can_leave(self) -> bool:
        """Whether the user can leave the first page: the choice of servers, or an account that is to be added."""
        if self._connector is not None and self._connector.adding is not None:
            return not self.shows_places
        state = self._follower.state
        usable = state is not None and state is not CredentialState.SIGNED_OUT
        return self.choosing_host and (usable or self._services.without_account)

    def choose(self) -> bool:
        """Show the right page; returns whether it is another one than before."""
        page: QWidget = self._places
        if self._connector is not None and self._wants_first_run():
            if self._first_run is None:
                self._first_run = self._connector.page()
                self._first_page = self._with_doors(self._first_run)
                self.addWidget(self._first_page)
            self._connector.update_page(can_leave=self.can_leave)
            assert self._first_page is not None
            page = self._first_page
        turned = self.currentWidget() is not page
        if turned:
            self.setCurrentWidget(page)
            if self._first_run is not None and self._first_page is page and self.isVisible():
                self._first_run.focus_first()
        return turned

    def _with_doors(self, page: QWidget) -> QWidget:
        """The page above the doors: what may be missing for a sign-in, such as a proxy, is found there."""
        whole = QWidget()
        row = QHBoxLayout()
        gap = theme().px(tokens.SPACE_2)
        row.setContentsMargins(gap, gap, gap, gap)
        row.setSpacing(gap)
        for words, keys, run in self._doors:
            row.addWidget(QuietButton(words, kind="flat", keys=keys, clicked=run))
        row.addStretch(1)
        box = QVBoxLayout(whole)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addWidget(page, 1)
        box.addLayout(row)
        return whole

    def _wants_first_run(self) -> bool:
        status = self._follower.status
        if self.choosing_host:
            return True
        if status is None:
            return self._services.remembered_host() is None and not self._services.without_account
        if status.state is CredentialState.RESTORING and status.trouble is None:
            # Whether somebody is signed in is not known yet: stay on the page in view.
            return self._first_run is not None and self.currentWidget() is self._first_page
        return status.state is CredentialState.SIGNED_OUT
