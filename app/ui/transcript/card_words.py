"""Glyphs and words of the kinds and states of a transcript. Tables; a word that they lack is shown as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

from app.ui.theme.state import State
from app.ui.translation import marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.ui.theme.tokens import Tone

CONTEXT = "Transcript"

# Kind of a tool: glyph, and the name of a call that has no title.
TOOL_KINDS: Mapping[str, tuple[str, str]] = {
    "read": ("document", marked(CONTEXT, "Read")),
    "edit": ("edit", marked(CONTEXT, "Edit")),
    "delete": ("trash", marked(CONTEXT, "Delete")),
    "move": ("forward", marked(CONTEXT, "Move")),
    "search": ("search", marked(CONTEXT, "Search")),
    "execute": ("code", marked(CONTEXT, "Run a command")),
    "think": ("dashed", marked(CONTEXT, "Think")),
    "fetch": ("download", marked(CONTEXT, "Fetch")),
    "switch_mode": ("settings", marked(CONTEXT, "Switch mode")),
    "question": ("question", marked(CONTEXT, "Question")),
    "mcp": ("servers", marked(CONTEXT, "Tool")),
    "agent": ("user", marked(CONTEXT, "Sub-agent")),
    "other": ("tool", marked(CONTEXT, "Tool")),
}

TOOL_STATES: Mapping[str, State] = {
    "pending": State("clock", marked("State", "Waiting"), "muted"),
    "in_progress": State("play", marked("State", "Running"), "accent"),
    "completed": State("check", marked("State", "Done"), "good"),
    "failed": State("cross", marked("State", "Failed"), "bad"),
    "cancelled": State("cancelled", marked("State", "Stopped"), "muted"),
}

PLAN_STATES: Mapping[str, State] = {
    "pending": State("ring", marked("State", "To do"), "muted"),
    "in_progress": State("play", marked("State", "In progress"), "accent"),
    "completed": State("check", marked("State", "Done"), "good"),
}

SETUP_STATES: Mapping[str, State] = {
    "in_progress": State("play", marked("State", "In progress"), "accent"),
    "completed": State("check", marked("State", "Done"), "good"),
    "failed": State("cross", marked("State", "Failed"), "bad"),
}

# By the kind of the option that was chosen.
ANSWER_GLYPHS: Mapping[str, tuple[str, Tone]] = {
    "allow_once": ("check", "good"),
    "allow_always": ("check", "good"),
    "reject_once": ("block", "bad"),
    "reject_always": ("block", "bad"),
}

NOTICE_GLYPHS: Mapping[str, tuple[str, Tone]] = {
    "debug": ("info", "muted"),
    "info": ("info", "muted"),
    "warn": ("warning", "attention"),
    "error": ("cross", "bad"),
}

TURN_ENDS: Mapping[str, str] = {
    "end_turn": marked(CONTEXT, "Turn finished"),
    "cancelled": marked(CONTEXT, "You stopped this turn"),
    "cut_off": marked(CONTEXT, "Burrow ended the agent during this turn"),
    "error": marked(CONTEXT, "The turn failed"),
    "refusal": marked(CONTEXT, "The agent refused to go on"),
    "max_tokens": marked(CONTEXT, "Stopped: the answer reached its longest length"),
    "max_turn_requests": marked(CONTEXT, "Stopped: the turn reached its limit of requests"),
}


def tr(text: str, number: int = -1) -> str:
    """A text of the transcript in the person's language; `%n` is the number."""
    return QCoreApplication.translate(CONTEXT, text, "", number)
