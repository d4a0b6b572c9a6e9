"""The words of the answers to what an agent asks, and what each of them does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.ui.transcript.card_words import tr
from app.ui.transcript.shown_text import one_line

if TYPE_CHECKING:
    from app.core.runs.items import Permission, PermissionOption

REJECTS = frozenset({"reject_once", "reject_always"})


class GivenAnswer(NamedTuple):
    """What was chosen of one question: the labels, and a text of the person's own."""

    labels: tuple[str, ...] = ()
    text: str = ""


class RunAnswer(NamedTuple):
    """What the person answered: an option with a text beside it, or the answers to all questions in their order."""

    permission: Permission
    option_id: str = ""
    text: str = ""
    answers: tuple[GivenAnswer, ...] = ()


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
