"""Safe mode: a start without anything optional, for when Burrow does not start otherwise.

Everything of how the window looks has its default, no server or proxy is started, and nobody is connected before the
user chooses. What the user set stays as it is: changes of such settings last as long as the process. Standard library
only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

OPTION = "--safe-mode"
# What programs and distributions use to change how Qt draws, and which of its plugins it loads.
DROPPED = (
    "QT_QPA_PLATFORMTHEME",
    "QT_STYLE_OVERRIDE",
    "QT_PLUGIN_PATH",
    "QT_QPA_PLATFORM_PLUGIN_PATH",
    "QT_SCALE_FACTOR",
    "QT_SCREEN_SCALE_FACTORS",
    "QT_FONT_DPI",
    "GTK_MODULES",
)
# Qt asks neither the graphics driver nor the desktop's accelerated paths.
SET = {"QT_OPENGL": "software", "QT_XCB_GL_INTEGRATION": "none", "QT_QUICK_BACKEND": "software"}
# The settings that have their defaults: how the window looks, what it restores, and what starts with it.
SET_ASIDE = ("ui.", "tasks.", "servers.", "tray.", "start.", "notify.", "updates.", "host")

# Two starts that crashed within this time are no accident.
WITHIN_SECONDS = 60.0
ASKED_AFTER, FORCED_AFTER = 2, 3


# What `prepare` found.
_before: dict[str, str | None] = {}


def prepare(environment: MutableMapping[str, str]) -> None:
    """Change the environment before Qt is loaded."""
    for name in (*DROPPED, *SET):
        _before.setdefault(name, environment.pop(name, None))
    environment.update(SET)


def give_back(environment: MutableMapping[str, str]) -> None:
    """Qt has read what `prepare` left: the programs that are started from here get what the user had."""
    for name, value in _before.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    _before.clear()
