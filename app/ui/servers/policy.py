"""The policy of a tool: agents may call it, must ask first, or may not call it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from app.ui.theme.state import State, by_name
from app.ui.translation import marked
from app.ui.widgets.choices import Segmented

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtWidgets import QWidget


class Policy(StrEnum):
    """The approval states of the MCP store; the values are those of its API."""

    ALLOW = "approved"
    ASK = "needs_approval"
    BLOCK = "do_not_use"


POLICY_STATES: Mapping[str, State] = {
    Policy.ALLOW: State("check", marked("State", "Allow"), "good"),
    Policy.ASK: State("question", marked("State", "Ask"), "attention"),
    Policy.BLOCK: State("block", marked("State", "Block"), "bad"),
}


def policy_state(approval: str | None) -> State:
    """Allow, Ask or Block. Without a policy a tool asks."""
    return by_name(POLICY_STATES, approval or Policy.ASK)


class SegmentedPolicy(Segmented):
    """Allow · Ask · Block. Values are those of `Policy`."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        states = [(policy.value, policy_state(policy)) for policy in Policy]
        super().__init__([(value, state.word, state.glyph, state.tone) for value, state in states], name, parent)
