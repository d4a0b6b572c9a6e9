"""Every state the window can show, as glyph + word + tone: never colour alone.

The tables hold the words untranslated; the functions below translate them (context `State`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QCoreApplication

from app.ui.translation import marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.ui.theme.tokens import Tone


class State(NamedTuple):
    """`glyph` is a name of `icons`, `word` one or two words, `tone` a text colour of the tokens."""

    glyph: str
    word: str
    tone: Tone


RUN: Mapping[str, State] = {
    "none": State("ring", marked("State", "No run"), "muted"),
    "not_started": State("ring", marked("State", "Not started"), "muted"),
    "queued": State("clock", marked("State", "Queued"), "info"),
    "in_progress": State("play", marked("State", "Running"), "accent"),
    "completed": State("check", marked("State", "Done"), "good"),
    "failed": State("cross", marked("State", "Failed"), "bad"),
    "cancelled": State("stop", marked("State", "Cancelled"), "muted"),
}

TASK: Mapping[str, State] = {
    "draft": State("edit", marked("State", "Draft"), "muted"),
    "sending": State("clock", marked("State", "Sending"), "info"),
    "not_sent": State("warning", marked("State", "Not sent"), "attention"),
    "waiting": State("question", marked("State", "Needs you"), "attention"),
    "archived": State("archive", marked("State", "Archived"), "muted"),
}

SERVER: Mapping[str, State] = {
    "READY": State("dot", marked("State", "Ready"), "good"),
    "SIGN_IN": State("dashed", marked("State", "Finish connecting"), "attention"),
    "RECONNECT": State("warning", marked("State", "Reconnect"), "attention"),
    "DISABLED": State("ring", marked("State", "Off"), "muted"),
    "TROUBLE": State("cross", marked("State", "In trouble"), "bad"),
    "UNKNOWN": State("question", marked("State", "Not checked"), "muted"),
    "AVAILABLE": State("plus", marked("State", "Available"), "muted"),
    "CONNECTING": State("clock", marked("State", "Connecting"), "info"),
}

POLICY: Mapping[str, State] = {
    "approved": State("check", marked("State", "Allow"), "good"),
    "needs_approval": State("question", marked("State", "Ask"), "attention"),
    "do_not_use": State("block", marked("State", "Block"), "bad"),
}

CALL: Mapping[str, State] = {
    "running": State("play", marked("State", "Running"), "accent"),
    "ok": State("check", marked("State", "Done"), "good"),
    "tool_error": State("warning", marked("State", "Tool error"), "attention"),
    "protocol_error": State("cross", marked("State", "Protocol error"), "bad"),
    "cancelled": State("stop", marked("State", "Cancelled"), "muted"),
    "unknown": State("question", marked("State", "Outcome unknown"), "attention"),
    "waiting": State("clock", marked("State", "Waiting for sign-in"), "attention"),
}

SESSION: Mapping[str, State] = {
    "fresh": State("dot", marked("State", "Signed in"), "good"),
    "restoring": State("clock", marked("State", "Opening"), "muted"),
    "renewing": State("clock", marked("State", "Renewing sign-in…"), "info"),
    "offline": State("offline", marked("State", "Offline"), "attention"),
    "server": State("warning", marked("State", "Server in trouble"), "attention"),
    "refused": State("block", marked("State", "Refused by server"), "attention"),
    "vault": State("lock", marked("State", "Keyring needed"), "attention"),
    "file": State("lock", marked("State", "Sign-in not stored"), "attention"),
    "damaged": State("warning", marked("State", "Sign-in unreadable"), "attention"),
    "browser": State("external", marked("State", "Waiting for browser"), "info"),
    "needs_sign_in": State("key", marked("State", "Sign in"), "attention"),
    "signed_out": State("ring", marked("State", "Signed out"), "muted"),
}

STEP: Mapping[str, State] = {
    "UNDER_WAY": State("clock", marked("State", "Under way"), "info"),
    "RENEWED": State("check", marked("State", "Renewed"), "good"),
    "TAKEN_OVER": State("refresh", marked("State", "Taken over"), "muted"),
    "UNSTORED": State("warning", marked("State", "Renewed, not stored"), "attention"),
    "INTERRUPTED": State("warning", marked("State", "Interrupted"), "attention"),
    "REFUSED": State("cross", marked("State", "Refused for good"), "bad"),
    "CLIENT_UNKNOWN": State("question", marked("State", "Not known there"), "attention"),
    "OFFLINE": State("offline", marked("State", "Offline"), "attention"),
    "NO_ANSWER": State("clock", marked("State", "No answer"), "attention"),
    "SERVER": State("warning", marked("State", "Server in trouble"), "attention"),
    "THROTTLED": State("clock", marked("State", "Too many requests"), "attention"),
    "NOT_ACCEPTED": State("block", marked("State", "Not accepted"), "attention"),
    "KEYRING": State("lock", marked("State", "Keyring not usable"), "attention"),
    "OVERTAKEN": State("sign-out", marked("State", "Signed out meanwhile"), "muted"),
    "SIGNED_IN": State("key", marked("State", "Signed in"), "good"),
    "SIGNED_IN_UNSTORED": State("key", marked("State", "Signed in, not stored"), "attention"),
    "SIGNED_OUT": State("sign-out", marked("State", "Signed out"), "muted"),
    "ENDED": State("cross", marked("State", "Sign-in ended"), "bad"),
}

ALL_TABLES: tuple[Mapping[str, State], ...] = (RUN, TASK, SERVER, POLICY, CALL, SESSION, STEP)


def run_state(status: str | None) -> State:
    """State of a run by the server's word; None means that the task has no run. Unknown words are shown as they are."""
    return _look_up(RUN, status or "none")


def task_state(name: str) -> State:
    """State of a task that its runs cannot say: draft, sending, not_sent, waiting, archived."""
    return _look_up(TASK, name)


def server_state(name: str) -> State:
    """State of an MCP server by its enumeration name: READY, SIGN_IN, RECONNECT, DISABLED, TROUBLE, UNKNOWN."""
    return _look_up(SERVER, name)


def policy_state(approval: str | None) -> State:
    """Allow, Ask or Block for `approved`, `needs_approval`, `do_not_use`; nothing known means Ask."""
    return _look_up(POLICY, approval or "needs_approval")


def call_state(name: str) -> State:
    """State of one tool call: running, ok, tool_error, protocol_error, cancelled, unknown, waiting."""
    return _look_up(CALL, name)


def session_state(name: str) -> State:
    """State of the sign-in, for the status corner."""
    return _look_up(SESSION, name)


def step_state(name: str, word: str) -> State:
    """What happened to a grant, by its enumeration name; an unknown one is called `word`."""
    return _look_up(STEP, name) if name in STEP else State("question", word, "muted")


def _look_up(table: Mapping[str, State], key: str) -> State:
    found = table.get(key)
    if found is None:
        return State("question", key.replace("_", " ").capitalize(), "muted")
    return State(found.glyph, QCoreApplication.translate("State", found.word), found.tone)
