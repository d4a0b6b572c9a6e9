"""The words for what a run is started with: permission modes, efforts. No widgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.core.posthog.run_options import MODES, UNASKING, RunOptions
from app.ui.tasks.run_sources import model_words
from app.ui.translation import marked, translate

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTEXT = "RunWords"


class ModeWords(NamedTuple):
    """The untranslated words of a permission mode."""

    name: str
    about: str


# By adapter and the server's name.
MODE_WORDS: Mapping[tuple[str, str], ModeWords] = {
    ("claude", "plan"): ModeWords(
        marked(CONTEXT, "Plan"), marked(CONTEXT, "Makes a plan first, and changes nothing before you agree to it.")
    ),
    ("claude", "default"): ModeWords(
        marked(CONTEXT, "Default"), marked(CONTEXT, "Asks before it changes a file or runs a command.")
    ),
    ("claude", "acceptEdits"): ModeWords(
        marked(CONTEXT, "Accept edits"),
        marked(CONTEXT, "Changes files without asking, and asks before it runs a command."),
    ),
    ("claude", "auto"): ModeWords(
        marked(CONTEXT, "Auto"), marked(CONTEXT, "Asks only before what it judges to be risky.")
    ),
    ("claude", "bypassPermissions"): ModeWords(
        marked(CONTEXT, "Bypass permissions"), marked(CONTEXT, "Never asks, whatever it does.")
    ),
    ("codex", "auto"): ModeWords(
        marked(CONTEXT, "Auto"), marked(CONTEXT, "Works in the repository, and asks before it goes beyond it.")
    ),
    ("codex", "plan"): ModeWords(
        marked(CONTEXT, "Plan"), marked(CONTEXT, "Makes a plan first, and changes nothing before you agree to it.")
    ),
    ("codex", "read-only"): ModeWords(
        marked(CONTEXT, "Read only"), marked(CONTEXT, "Reads, and asks before it changes anything.")
    ),
    ("codex", "full-access"): ModeWords(
        marked(CONTEXT, "Full access"), marked(CONTEXT, "Never asks, whatever it does.")
    ),
}
# From the lowest. A newer server may have others.
EFFORT_WORDS: Mapping[str, str] = {
    "low": marked(CONTEXT, "Low"),
    "medium": marked(CONTEXT, "Medium"),
    "high": marked(CONTEXT, "High"),
    "xhigh": marked(CONTEXT, "Extra high"),
    "max": marked(CONTEXT, "Maximum"),
    "ultracode": marked(CONTEXT, "Ultracode"),
}
# What models know mostly, where the server does not say.
USUAL_EFFORTS = ("low", "medium", "high")


def mode_name(adapter: str, mode: str) -> str:
    """The name of a permission mode; the server's own for one that this version does not know."""
    words = MODE_WORDS.get((adapter, mode))
    return mode if words is None else translate(CONTEXT, words.name)


def mode_about(adapter: str, mode: str) -> str:
    """What an agent does in a permission mode."""
    words = MODE_WORDS.get((adapter, mode))
    return "" if words is None else translate(CONTEXT, words.about)


def offered_modes(adapter: str, *, bypass: bool) -> list[tuple[str, str]]:
    """The modes of an agent with their names, the usual one first."""
    modes = MODES.get(adapter, MODES["claude"])
    agent = adapter if adapter in MODES else "claude"
    return [(mode, mode_name(agent, mode)) for mode in modes if bypass or mode not in UNASKING]


def effort_name(effort: str) -> str:
    """The name of an effort; empty for none, which leaves it to the model."""
    if not effort:
        return translate(CONTEXT, "As the model does")
    return translate(CONTEXT, EFFORT_WORDS[effort]) if effort in EFFORT_WORDS else effort


def summary(options: RunOptions, title: str = "") -> str:
    """What a run is started with, on one line. `title` is that of the model, where it is known."""
    adapter = options.adapter if options.adapter in MODES else "claude"
    parts = [
        model_words(options.adapter, options.model, title) if options.model else "",
        effort_name(options.effort) if options.effort else "",
        mode_name(adapter, options.mode or MODES[adapter][0]),
        options.branch,
    ]
    return " · ".join(part for part in parts if part)
