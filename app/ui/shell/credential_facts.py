"""The facts of a sign-in: names beside values, in two columns where there is room."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QBoxLayout, QVBoxLayout, QWidget

from app.core.diagnostics.timeline import last_failure
from app.ui.shell.timeline_words import printable, what
from app.ui.theme import theme, tokens
from app.ui.widgets.fields import KeyValueGrid
from app.ui.widgets.guard import guarded
from app.ui.widgets.times import absolute, due, duration, moment_at, relative

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from PySide6.QtGui import QResizeEvent

    from app.core.diagnostics.snapshot import SignInSnapshot
    from app.core.diagnostics.timeline import TimelineStep

TWO_COLUMNS = 640
SHOWN_SCOPES = 60
NO_BREAK = "\u00a0"


class CredentialFacts(QWidget):
    """The text can be selected. Facts without a value are left out."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.who, self.token, self.granted = KeyValueGrid(), KeyValueGrid(), KeyValueGrid()
        current = theme()
        self._columns = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._columns.setSpacing(current.px(tokens.SPACE_5))
        self._columns.addWidget(self.who, 1, Qt.AlignmentFlag.AlignTop)
        self._columns.addWidget(self.token, 1, Qt.AlignmentFlag.AlignTop)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(current.px(6))
        box.addLayout(self._columns)
        box.addWidget(self.granted)

    def show_snapshot(
        self, snapshot: SignInSnapshot, steps: tuple[TimelineStep, ...], *, personal: bool = True
    ) -> None:
        """Show a snapshot, with the last failure among `steps`. `personal` is False where there is no account."""
        who, token = self.who, self.token
        who.put(self.tr("Account"), printable(snapshot.account or self.tr("nobody")) if personal else "")
        who.put(self.tr("Server"), f"{printable(snapshot.server)}  ·  {snapshot.origin}")
        who.put(self.tr("Project"), printable(snapshot.project or ""))
        who.put(self.tr("Stored in"), self._kept(snapshot))
        token.put(self.tr("Token"), self._token(snapshot), self.tr("A fingerprint. It does not reveal the token."))
        token.put(self.tr("Issued"), *_moment(snapshot.issued_at, relative))
        if snapshot.works_until is not None:
            token.put(self.tr("Next renewal"), self._refused(snapshot.works_until))
        elif snapshot.refreshable:
            token.put(self.tr("Next renewal"), *_moment(snapshot.renews_at, due))
        else:
            none = self.tr("none: an API key is never renewed")
            token.put(self.tr("Next renewal"), none if personal else self.tr("none: the server gave no refresh token"))
        token.put(self.tr("Last failure"), *self._failure(snapshot, steps))
        token.put(self.tr("Clock"), self._clock(snapshot.skew))
        self.granted.put(self.tr("Granted"), self._scopes(snapshot.scopes))
        self._arrange()

    def _refused(self, works_until: float) -> str:
        if isinf(works_until):
            return self.tr("could not be renewed; works until the server refuses it")
        return self.tr("could not be renewed; works until {0}").format(absolute(moment_at(works_until)))

    def _kept(self, snapshot: SignInSnapshot) -> str:
        stores = {
            "keyring": self.tr("the system's keyring"),
            "file": self.tr("a private file"),
            "memory": self.tr("memory only"),
        }
        kept = stores.get(snapshot.store, snapshot.store)
        stays = self.tr("kept after you quit") if snapshot.persistent else self.tr("forgotten when you quit")
        return f"{kept}, {stays}" if snapshot.token else kept

    def _token(self, snapshot: SignInSnapshot) -> str:
        if not snapshot.token:
            return ""
        number = self.tr("generation {0}").format(snapshot.generation) if snapshot.generation else ""
        return ", ".join(part for part in (snapshot.token, number) if part)

    def _failure(self, snapshot: SignInSnapshot, steps: tuple[TimelineStep, ...]) -> tuple[str, str]:
        failure = last_failure(steps)
        when = f"{what(failure).word}, {relative(moment_at(failure.at))}" if failure is not None else ""
        tooltip = absolute(moment_at(failure.at)) if failure is not None else ""
        return when or printable(snapshot.reason or ""), tooltip

    def _clock(self, skew: float) -> str:
        if not skew:
            return ""
        far = duration(abs(skew))
        return (
            self.tr("{0} behind the server").format(far) if skew > 0 else self.tr("{0} ahead of the server").format(far)
        )

    def _scopes(self, scopes: tuple[str, ...]) -> str:
        """Scopes grouped by subject. No group is broken at the end of a line."""
        subjects: dict[str, list[str]] = {}
        for scope in scopes[:SHOWN_SCOPES]:
            subject, _, level = printable(scope).partition(":")
            subjects.setdefault(subject, []).extend([level] if level else [])
        words = [f"{subject} {', '.join(levels)}".strip() for subject, levels in subjects.items()]
        if len(scopes) > SHOWN_SCOPES:
            words.append(self.tr("and {0} more").format(len(scopes) - SHOWN_SCOPES))
        return "  ·  ".join(each.replace(" ", NO_BREAK) for each in words)

    def _arrange(self) -> None:
        wide = self.width() >= theme().px(TWO_COLUMNS)
        wanted = QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom
        if self._columns.direction() != wanted:
            self._columns.setDirection(wanted)
            self._columns.setSpacing(theme().px(tokens.SPACE_5 if wide else 6))
        one_below_the_other = (self.who, self.granted) if wide else (self.who, self.token, self.granted)
        width = max(grid.label_width() for grid in one_below_the_other)
        for grid in (self.who, self.token, self.granted):
            grid.set_label_width(width if grid in one_below_the_other else 0)

    @guarded()
    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()


def _moment(seconds: float | None, words: Callable[[datetime], str]) -> tuple[str, str]:
    if seconds is None:
        return "", ""
    moment = moment_at(seconds)
    return words(moment), absolute(moment)
