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


def consequence(permission: Permission, option: PermissionOption, mode: str = "") -> str:
    """What an option does beyond this one call; empty for nothing. `mode` is that which it sets, in words."""
    words, found = option_words(option), []
    if option.kind == "allow_always" and permission.kind == "mcp":
        found.append(tr("“{0}” also sets this tool to Allow, for later runs too.").format(words))
    if mode:
        found.append(tr("“{0}” also sets the mode to {1}, until this run ends.").format(words, mode))
    if option.kind == "reject_always":
        found.append(tr("“{0}” also refuses later calls like this one in this run.").format(words))
    return " ".join(found)
