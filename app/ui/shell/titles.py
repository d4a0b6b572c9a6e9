"""The title of the window: what is open, then the application, as the desktops ask for it."""

from __future__ import annotations

from app.marks import FIRST_STRONG_ISOLATE, POP_ISOLATE, isolated, revealed_name

APPLICATION = "Burrow"
# Longer titles are cut by every task bar.
LONGEST = 120
# Names come isolated already; here the whole line is.
_NO_ISOLATES = dict.fromkeys(map(ord, FIRST_STRONG_ISOLATE + POP_ISOLATE))


def window_title(open_title: str) -> str:
    """`Fix checkout crash — Burrow`, or `Burrow` with nothing open. For `QWidget.setWindowTitle`."""
    line = revealed_name(" ".join(open_title.split()).translate(_NO_ISOLATES))
    if len(line) > LONGEST:
        line = line[: LONGEST - 1].rstrip() + "…"
    # Qt replaces `[*]` by the mark of an unsaved document, and shows a doubled one as it is.
    line = line.replace("[*]", "[*][*]")
    return f"{isolated(line)} — {APPLICATION}" if line else APPLICATION
