"""The words of the answers to what an agent asks, and what each of them does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.ui.transcript.card_words import tr
from app.ui.transcript.shown_text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.core.runs.items import Permission, PermissionOption

REJECTS = frozenset({"reject_once", "reject_always"})
# The answer to several questions at once, and to one by free text only (docs/wire.md, "Commands to a run").
SUBMIT, OTHER = "_submit", "other"
CHOICE = "option_"


class RunAnswer(NamedTuple):
    """What the person answered. `answers` is by the text of the questions, of a question tool."""

    permission: Permission
    option_id: str
    text: str = ""
    answers: Mapping[str, str] | None = None


def option_words(option: PermissionOption) -> str:
    """The words of an option."""
    return one_line(option.name, 120) or option.option_id


def consequence(permission: Permission, option: PermissionOption) -> str:
    """What an option does beyond this one call; empty for nothing."""
    if option.kind == "allow_always" and permission.kind != "switch_mode" and not permission.plan:
        if permission.kind == "mcp":
            return tr("“{0}” also sets this tool to Allow, for later runs too.").format(option_words(option))
        return tr("“{0}” also lets the agent go on without asking, until this run ends.").format(option_words(option))
    if option.kind == "reject_always":
        return tr("“{0}” also refuses later calls like this one in this run.").format(option_words(option))
    return ""


def joined_answer(chosen: list[str], other: str) -> str:
    """The chosen labels and the free text of one question, as agents expect them."""
    return ", ".join([*chosen, *([other.strip()] if other.strip() else [])])
