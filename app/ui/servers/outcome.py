"""How a call stands, as the result view shows it: a table from phases and errors to words and actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.core.errors import (
    BurrowError,
    OutcomeUnknown,
    PolicyRefused,
    ProtocolTrouble,
    SignInNeeded,
    TimedOut,
    VendorSignInNeeded,
)
from app.ui.servers.calling import Phase, ToolSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.ui.servers.result import ResultView
    from app.ui.widgets.places import Action


class Outcome:
    """What a person can do about a call that did not simply succeed."""

    def __init__(
        self,
        view: ResultView,
        *,
        allow: Callable[[], None],
        reconnect: Callable[[], None],
        sign_in: Callable[[], None],
    ) -> None:
        self._view = view
        self._allow, self._reconnect, self._sign_in = allow, reconnect, sign_in

    def show(self, session: ToolSession) -> bool:
        """Show where the call stands; False when there is nothing to show."""
        match session.phase:
            case Phase.IDLE:
                return False
            case Phase.RUNNING:
                return session.result is not None
            case Phase.DONE if session.result is not None:
                self._view.show_result(session.result)
            case Phase.ASKING:
                self._asking(session)
            case Phase.BLOCKED:
                self._blocked(session)
            case Phase.QUIET:
                self._quiet(session)
            case Phase.CANCELLED:
                self._cancelled(session)
            case _ if session.error is not None:
                self._failed(session, session.error)
            case _:
                return False
        return True

    def _asking(self, session: ToolSession) -> None:
        self._view.show_card(
            "",
            None,
            _tr("{0} asks before it is called").format(session.tool.label),
            _tr("Allow once is not possible on this server: its store keeps one answer for every call."),
            _tr("The arguments are kept."),
            [(_tr("Always allow and run"), self._allow), (_tr("Not now"), session.dismiss)],
            tone="attention",
        )

    def _blocked(self, session: ToolSession) -> None:
        locked = session.tool.locked
        advice = (
            _tr("The team has locked this; ask an administrator.")
            if locked
            else _tr("Set it to Allow above to call it. The arguments are kept.")
        )
        self._view.show_card(
            "", None, _tr("{0} is blocked").format(session.tool.label), _tr("Nobody can call it."), advice, tone="bad"
        )

    def _quiet(self, session: ToolSession) -> None:
        cause = session.error.cause if session.error is not None else ""
        self._view.show_card(
            "running",
            session.seconds,
            _tr("Still no answer"),
            cause,
            _tr("The call is still under way."),
            [(_tr("Keep waiting"), session.keep_waiting), (_tr("Cancel"), session.cancel)],
            tone="attention",
        )

    def _cancelled(self, session: ToolSession) -> None:
        self._view.show_card(
            "cancelled",
            session.seconds,
            _tr("Cancelled"),
            _tr("What the tool had begun may have taken effect. The arguments are kept."),
            actions=[(_tr("Run again"), session.again)],
            tone="info",
        )

    def _failed(self, session: ToolSession, error: BurrowError) -> None:
        again: Action = (_tr("Run again"), session.again)
        state, tone, actions, detail = "protocol_error", "bad", [again], ""
        title, cause, advice = error.title, error.cause, error.advice
        match error:
            case SignInNeeded() if session.signed_in_again:
                title, cause = _tr("You are signed in again"), _tr("{0} was not called.").format(session.tool.label)
                advice, tone, state = _tr("Run it with the arguments kept?"), "info", ""
                actions = [(_tr("Run"), session.again), (_tr("Not now"), session.dismiss)]
            case SignInNeeded():
                advice = (
                    _tr("The call is kept and runs by itself once you have signed in.")
                    if session.tool.annotations.read_only is True
                    else _tr("The arguments are kept; you are asked again once you have signed in.")
                )
                tone, state, actions = "attention", "", [(_tr("Sign in"), self._sign_in)]
            case VendorSignInNeeded():
                tone, state, actions = "attention", "", [(_tr("Reconnect"), self._reconnect), again]
            case OutcomeUnknown():
                tone, state = "attention", "unknown"
            case PolicyRefused():
                tone, state, actions = "attention", "", []
            case TimedOut():
                tone, state = "attention", ""
            case ProtocolTrouble():
                title = _tr("The call failed")
                detail = " · ".join(part for part in (error.facts.code or "", error.facts.detail or "") if part)
            case _:
                state = ""
        cause = "" if cause == title else cause
        self._view.show_card(state, session.seconds, title, cause, advice, actions, tone=tone, detail=detail)


def _tr(text: str) -> str:
    return QCoreApplication.translate("Outcome", text)
