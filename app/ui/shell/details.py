"""Account ▸ Sign-in details: what is known of the sign-in, in plain words and without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from app.ui.theme import theme, tokens
from app.ui.widgets.buttons import QuietButton
from app.ui.widgets.fields import KeyValueGrid
from app.ui.widgets.focus import show_focus_ring
from app.ui.widgets.lists import ListTable
from app.ui.widgets.places import EmptyState
from app.ui.widgets.rows import Row
from app.ui.widgets.text import Text
from app.ui.widgets.when import absolute, moment_at, relative

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.core.activity import ActivityRecord
    from app.core.backend import Backend

SHOWN_EVENTS = 50


class SignInDetails(QDialog):
    """Opened with `open()`; the buttons tell and close."""

    sign_in_wanted = Signal()
    sign_out_wanted = Signal()

    def __init__(self, backend: Backend, records: Sequence[ActivityRecord], parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Sign-in details"))
        status = backend.session.status
        stores = {
            "keyring": self.tr("the system's keyring"),
            "file": self.tr("a private file of this account"),
            "memory": self.tr("memory only, until Burrow closes"),
        }
        grid = KeyValueGrid()
        if backend.account is not None:
            grid.add(self.tr("Account"), backend.account.email or backend.account.short_name)
        grid.add(self.tr("Server"), f"{backend.host.name} · {backend.host.origin}")
        if backend.project is not None:
            grid.add(self.tr("Project"), f"{backend.project.name} ({backend.project.id})")
        state = {
            "signed_in": self.tr("signed in"),
            "needs_sign_in": self.tr("ended; sign in again"),
            "restoring": self.tr("not known yet"),
            "signed_out": self.tr("signed out"),
        }.get(status.state.value, status.state.value)
        grid.add(self.tr("State"), state)
        if status.reason:
            grid.add(self.tr("Last failure"), status.reason)
        grid.add(self.tr("Kept in"), stores.get(status.store, status.store))
        self._add_grant(grid, backend)
        events = [record for record in records if record.kind == "auth"][:SHOWN_EVENTS]
        current = theme()
        gap = current.px(tokens.SPACE_3)
        box = QVBoxLayout(self)
        box.setContentsMargins(*([current.px(tokens.SPACE_4)] * 4))
        box.setSpacing(gap)
        box.addWidget(grid)
        box.addWidget(Text(self.tr("What happened"), "section"))
        box.addWidget(self._events(events), 1)
        row = QHBoxLayout()
        row.addStretch()
        row.addWidget(QuietButton(self.tr("Sign out here"), clicked=lambda: self._leave(self.sign_out_wanted)))
        row.addWidget(QuietButton(self.tr("Sign in again"), clicked=lambda: self._leave(self.sign_in_wanted)))
        row.addWidget(QuietButton(self.tr("Close"), clicked=self.reject))
        box.addLayout(row)
        self.resize(current.px(520), current.px(480))
        show_focus_ring(self)

    def _add_grant(self, grid: KeyValueGrid, backend: Backend) -> None:
        """What the server granted and when it is renewed; never the tokens."""
        grant = backend.session.grant
        if grant is None:
            return
        tokens = grant.tokens
        if tokens.issued_at:
            grid.add(self.tr("Issued"), absolute(moment_at(tokens.issued_at)))
        if grant.personal_key:
            grid.add(self.tr("Renewal"), self.tr("none: a personal API key is used as it is"))
        elif backend.session.renews_at is not None:
            grid.add(self.tr("Next renewal"), absolute(moment_at(backend.session.renews_at)))
        if tokens.scope:
            grid.add(self.tr("Granted"), tokens.scope)

    def _events(self, events: Sequence[ActivityRecord]) -> QWidget:
        if not events:
            return EmptyState(self.tr("Nothing yet"), self.tr("Renewals and failures will be listed here."))
        shown = ListTable(self.tr("What happened"), dense=True)
        rows = []
        for record in events:
            moment = moment_at(record.at)
            rows.append(
                Row(record.id, record.summary, record.status, trailing=relative(moment), tooltip=absolute(moment))
            )
        shown.set_rows(rows)
        return shown

    def _leave(self, signal: object) -> None:
        self.reject()
        signal.emit()  # type: ignore[attr-defined]
