"""The permission modes that people know, and what agents call them.

What an agent may do in one of its modes is its own business; what it has Burrow do for it is decided by `approval.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

PLAN, DEFAULT, ACCEPT_EDITS, AUTO, BYPASS = "plan", "default", "acceptEdits", "auto", "bypassPermissions"
# In this order they are offered. The names are those of PostHog's runs, the others what agents call the same.
LOCAL_MODES = {
    PLAN: ("plan", "readonly", "ask", "architect"),
    DEFAULT: ("default", "normal", "manual", "code", "build"),
    ACCEPT_EDITS: ("acceptedits", "autoedit"),
    AUTO: ("auto",),
    BYPASS: (
        *("bypasspermissions", "bypass", "yolo", "fullaccess", "agentfullaccess", "dangerfullaccess"),
        *("skippermissions", "dangerouslyskippermissions", "skippermissionsunsafe"),
    ),
}


class ModeOption(NamedTuple):
    """A setting of a session and the value that it is to have."""

    option: str
    value: str


def option_of_mode(options: Sequence[object], mode: str) -> ModeOption | None:
    """The setting by which an agent works in `mode`; None where it has no such mode."""
    for each in options:
        if not isinstance(each, dict) or "mode" not in (each.get("id"), each.get("category")):
            continue
        values = [str(choice["value"]) for choice in _choices(each.get("options")) if "value" in choice]
        for name in (plain_mode(mode), *LOCAL_MODES.get(mode, ())):
            found = next((value for value in values if plain_mode(value) == name), None)
            if found is not None:
                return ModeOption(str(each.get("id")), found)
    return None


def plain_mode(mode: str) -> str:
    """The name of a mode in lower case and without punctuation. Some agents name theirs by an address that ends so."""
    return "".join(each for each in mode.rpartition("#")[2].lower() if each.isalnum())


def asks_nothing(mode: str) -> bool:
    """Whether a mode, by whatever agent it is named, is one in which the agent asks for nothing."""
    return plain_mode(mode) in LOCAL_MODES[BYPASS]


def _choices(options: object) -> list[dict[str, object]]:
    """The choices of a setting, which may stand in groups."""
    found: list[dict[str, object]] = []
    for each in options if isinstance(options, list) else ():
        if isinstance(each, dict):
            inner = each.get("options")
            found += _choices(inner) if isinstance(inner, list) else [each]
    return found
