"""Shows the outcome of a call: from its phase and error to words and actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QCoreApplication

from app.core.auth.oauth.step_up import MissingScopes, StepUpOption, format_scopes
from app.core.errors import (
    BurrowError,
    OutcomeUnknown,
    PolicyRefused,
    ProtocolTrouble,
    SignInNeeded,
    TimedOut,
    VendorSignInNeeded,
)
from app.ui.servers.kinds import kind_of
from app.ui.servers.tool_session import CallPhase, ToolSession
from app.ui.servers.wording import CallState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.ui.servers.result import ResultView
    from app.ui.widgets.feedback import Action


class PermissionWords(NamedTuple):
    """What is said about a missing permission. May contain `{tool}`, `{server}`, `{scopes}` and `{granted}`."""

    title: str
    cause: str
    advice: str


SOMEBODY_ELSE = "Ask an administrator, or sign in with an account that may do this."
LACKING: Mapping[StepUpOption, PermissionWords] = {
    StepUpOption.ASK: PermissionWords(
        "{tool} needs {scopes}", "{granted}", "Only this call waits. It runs as soon as you allow it."
    ),
    StepUpOption.TRIED: PermissionWords("{tool} needs {scopes}", "You were already asked twice.", SOMEBODY_ELSE),
    StepUpOption.GRANTED: PermissionWords(
        "Not permitted", "{server} refused it although {scopes} is granted.", SOMEBODY_ELSE
    ),
    StepUpOption.KEY: PermissionWords(
        "{tool} needs {scopes}",
        "A personal API key cannot get more permissions.",
        "Create a key with this permission, or sign in with the browser.",
    ),
}
# Instead of `LACKING`, when the person was just asked.
NOT_GRANTED: Mapping[StepUpOption, PermissionWords] = {
    StepUpOption.ASK: PermissionWords(
        "Not granted", "{tool} still needs {scopes}. {granted}", "You can try once more."
    ),
    StepUpOption.TRIED: PermissionWords(
        "Not granted", "{tool} still needs {scopes}. You were already asked twice.", SOMEBODY_ELSE
    ),
}


class OutcomePresenter:
    """Shows a call in the result view, with the actions that its outcome allows."""

    def __init__(
        self,
        view: ResultView,
        *,
        reconnect: Callable[[], None],
        sign_in: Callable[[], None],
        permit: Callable[[], None],
    ) -> None:
        self._view = view
        self._reconnect, self._sign_in, self._permit = reconnect, sign_in, permit

    def show(self, session: ToolSession) -> bool:
        """Show a call; returns False when there is nothing to show. What a call asks first is in `CallQuestion`."""
        match session.phase:
            case CallPhase.IDLE | CallPhase.RUNNING | CallPhase.ASKING | CallPhase.CONFIRMING:
                return False
            case CallPhase.DONE if session.result is not None:
                self._view.show_result(session.result)
            case CallPhase.ALLOWING if session.need is not None:
                self._allowing(session, session.need)
            case CallPhase.BLOCKED:
                self._blocked(session)
            case CallPhase.QUIET:
                self._quiet(session)
            case CallPhase.CANCELLED:
                self._cancelled(session)
            case CallPhase.FAILED if session.need is not None and session.not_asked is not None:
                self._not_asked(session, session.need, session.not_asked)
            case CallPhase.FAILED if session.need is not None and session.help is not StepUpOption.NOT_OURS:
                self._lacking(session, session.need)
            case _ if session.error is not None:
                self._failed(session, session.error)
            case _:
                return False
        return True

    def _lacking(self, session: ToolSession, need: MissingScopes) -> None:
        """The call was refused because a permission is missing (faults row 46)."""
        words = (NOT_GRANTED.get(session.help) if session.not_granted else None) or LACKING[session.help]
        parts = {
            "tool": session.tool.label,
            "server": session.server.title,
            "scopes": format_scopes(need.scopes),
            "granted": _granted(session.granted),
        }
        title, cause, advice = (_tr(part).format_map(parts).strip() for part in words)
        actions: list[Action] = []
        if session.help is StepUpOption.ASK:
            actions = self._offer(session)
        elif session.help is StepUpOption.GRANTED:
            actions = [(_tr("Run again"), session.again)]
        self._view.show_card(
            None, None, title, cause, advice, actions, tone="attention" if session.help is StepUpOption.ASK else "bad"
        )

    def _allowing(self, session: ToolSession, need: MissingScopes) -> None:
        self._view.show_card(
            None,
            None,
            _tr("Waiting for your browser…"),
            _tr("It asks you to allow {0}.").format(format_scopes(need.scopes)),
            _tr("{0} runs as soon as you allow it.").format(session.tool.label),
            tone="info",
        )

    def _not_asked(self, session: ToolSession, need: MissingScopes, error: BurrowError) -> None:
        cause = "" if error.cause == error.title else f"{error.cause} "
        still = _tr("{0} still needs {1}.").format(session.tool.label, format_scopes(need.scopes))
        self._view.show_card(
            None, None, error.title, cause + still, error.advice, self._offer(session), tone="attention"
        )

    def _offer(self, session: ToolSession) -> list[Action]:
        return [(_tr("Allow in browser"), self._permit), (_tr("Not now"), session.dismiss)]

    def _blocked(self, session: ToolSession) -> None:
        locked = session.tool.locked
        advice = (
            _tr("The team has locked this; ask an administrator.")
            if locked
            else _tr("Set it to Allow above to call it. The arguments are kept.")
        )
        self._view.show_card(
            None, None, _tr("{0} is blocked").format(session.tool.label), _tr("Nobody can call it."), advice, tone="bad"
        )

    def _quiet(self, session: ToolSession) -> None:
        cause = session.error.cause if session.error is not None else ""
        self._view.show_card(
            CallState.RUNNING,
            session.seconds,
            _tr("Still no answer"),
            cause,
            _tr("The call is still running."),
            [(_tr("Keep waiting"), session.keep_waiting), (_tr("Cancel"), session.cancel)],
            tone="attention",
        )

    def _cancelled(self, session: ToolSession) -> None:
        self._view.show_card(
            CallState.CANCELLED,
            session.seconds,
            _tr("Cancelled"),
            _tr("The tool may already have done something. The arguments are kept."),
            actions=[(_tr("Run again"), session.again)],
            tone="info",
        )

    def _failed(self, session: ToolSession, error: BurrowError) -> None:
        again: Action = (_tr("Run again"), session.again)
        state: CallState | None = CallState.PROTOCOL_ERROR
        tone, actions, detail = "bad", [again], ""
        title, cause, advice = error.title, error.cause, error.advice
        match error:
            case SignInNeeded() if session.signed_in_again:
                title, cause = _tr("You are signed in again"), _tr("{0} was not called.").format(session.tool.label)
                advice, tone, state = _tr("Run it with the same arguments?"), "info", None
                actions = [(_tr("Run"), session.resume), (_tr("Not now"), session.dismiss)]
            case SignInNeeded():
                advice = (
                    _tr("The call is kept and runs after you sign in.")
                    if session.tool.annotations.read_only is True
                    else _tr("The arguments are kept. After you sign in, Burrow asks before it runs the call.")
                )
                tone, state, actions = "attention", None, [(_tr("Sign in"), self._sign_in)]
            case VendorSignInNeeded():
                words = kind_of(session.server).connect or _tr("Reconnect")
                tone, state, actions = "attention", None, [(words, self._reconnect), again]
            case OutcomeUnknown():
                tone, state = "attention", CallState.UNKNOWN
            case PolicyRefused():
                tone, state, actions = "attention", None, []
            case TimedOut():
                tone, state = "attention", None
            case ProtocolTrouble():
                title = _tr("The call failed")
                detail = " · ".join(part for part in (error.facts.code or "", error.facts.detail or "") if part)
            case _:
                state = None
        # An error without words of its own has its title as its cause.
        cause = "" if cause == title else cause
        self._view.show_card(state, session.seconds, title, cause, advice, actions, tone=tone, detail=detail)


def _granted(count: int) -> str:
    """How many permissions were granted so far; empty where the server does not say."""
    if not count:
        return ""
    one = _tr("You already granted 1 permission.")
    return one if count == 1 else _tr("You already granted {0} permissions.").format(count)


def _tr(text: str) -> str:
    return QCoreApplication.translate("Outcome", text)
