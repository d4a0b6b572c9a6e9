"""The lines of the activity record in plain words. What is recorded of a sign-in has the journal's names; here they
become sentences in which a success reads as a success.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.marks import revealed_name
from app.ui.translation import marked, translate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.diagnostics.activity import ActivityRecord
    from app.ui.theme.tokens import Tone

CONTEXT = "Activity"
RENEWAL = "renewal"
CALL = "tools/call "
SUCCESSES = frozenset({"ok", "renewed", "adopted", "replaced"})

# By the outcome of a renewal. Every other outcome is a failure.
RENEWED: Mapping[str, str] = {
    "renewed": marked("Activity", "Access token renewed"),
    "adopted": marked("Activity", "New access token taken over"),
    "replaced": marked("Activity", "New sign-in taken over"),
    "under way": marked("Activity", "Access token is being renewed"),
}
NOT_RENEWED = marked("Activity", "Access token not renewed")
REASONS: Mapping[str, str] = {
    "expired": marked("Activity", "the old one had expired"),
    "ahead of expiry": marked("Activity", "the old one was about to expire"),
    "unfinished renewal": marked("Activity", "an earlier renewal was left unfinished"),
    "noticed": marked("Activity", "another process renewed it"),
    "asked for": marked("Activity", "it was requested"),
    "asked": marked("Activity", "it was requested"),
    "refused": marked("Activity", "a server refused the old one"),
}
REFUSED_BY = marked("Activity", "{0} refused the old one")
OTHERS: Mapping[str, str] = {
    "signed in": marked("Activity", "Signed in"),
    "signed out": marked("Activity", "Signed out"),
    "ended": marked("Activity", "Sign-in ended"),
}
WAYS: Mapping[str, str] = {
    "browser": marked("Activity", "in the browser"),
    "ticket": marked("Activity", "by the workspace"),
    "personal API key": marked("Activity", "with an API key"),
    "another window": marked("Activity", "in another process"),
    "asked": marked("Activity", "as requested"),
}
OUTCOMES: Mapping[str, str] = {
    "ok": marked("Activity", "OK"),
    "renewed": marked("Activity", "Renewed"),
    "adopted": marked("Activity", "Taken over"),
    "replaced": marked("Activity", "Taken over"),
    "under way": marked("Activity", "In progress"),
    "invalid_grant": marked("Activity", "Refused for good"),
    "invalid_token": marked("Activity", "Refused for good"),
    "invalid_client": marked("Activity", "Unknown client"),
    "Offline": marked("Activity", "Offline"),
    "TimedOut": marked("Activity", "No answer"),
    "ServerTrouble": marked("Activity", "Server error"),
    "Throttled": marked("Activity", "Too many requests"),
}


def summary(record: ActivityRecord) -> str:
    """What was done, on one line."""
    if record.kind != "auth":
        return revealed_name(record.summary)
    what, _, why = record.summary.partition(": ")
    if what == RENEWAL:
        # The classifier's rule comes after the target, for whoever reads the details.
        cause, _, _rule = why.partition(": ")
        target = cause.removeprefix("refused by ") if cause.startswith("refused by ") else ""
        reason = _said(REFUSED_BY).format(target) if target else _known(REASONS, cause)
        return f"{_said(RENEWED.get(record.status, NOT_RENEWED))}: {revealed_name(reason)}"
    words = _known(OTHERS, what)
    return f"{words}: {_known(WAYS, why)}" if why else words


def outcome(record: ActivityRecord) -> str:
    """The status as a word; the number of an HTTP status and the words of MCP stay."""
    return _known(OUTCOMES, record.status) if record.kind == "auth" else revealed_name(record.status)


def server(record: ActivityRecord) -> str:
    """The server or host that it was about."""
    return revealed_name(record.target)


def called(record: ActivityRecord) -> str:
    """The name of the tool that was called; empty for anything else than a call."""
    if record.kind != "mcp" or not record.summary.startswith(CALL):
        return ""
    return revealed_name(record.summary.removeprefix(CALL))


def tone(record: ActivityRecord) -> Tone:
    """How the outcome is coloured, besides its word."""
    status = record.status
    if status.isdigit():
        return "bad" if status >= "500" else "attention" if status >= "400" else "muted"
    if record.kind == "auth" and record.summary.startswith("ended"):
        return "bad"
    return "muted" if status in {"", "sent", "received", "under way"} or status in SUCCESSES else "attention"


def _known(table: Mapping[str, str], name: str) -> str:
    """The words for a recorded name; what another version recorded is shown as it is."""
    words = table.get(name)
    return name if words is None else _said(words)


def _said(words: str) -> str:
    return translate(CONTEXT, words)
