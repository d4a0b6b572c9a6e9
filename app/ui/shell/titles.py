"""The title of the window: what is open, then the application, as the desktops ask for it."""

from __future__ import annotations

APPLICATION = "Burrow"
# Longer titles are cut by every task bar.
LONGEST = 120


def window_title(open_title: str) -> str:
    """`Fix checkout crash — Burrow`, or `Burrow` with nothing open. For `QWidget.setWindowTitle`."""
    line = " ".join(open_title.split())
    if len(line) > LONGEST:
        line = line[: LONGEST - 1].rstrip() + "…"
    # Qt replaces `[*]` by the mark of an unsaved document, and shows a doubled one as it is.
    line = line.replace("[*]", "[*][*]")
    return f"{line} — {APPLICATION}" if line else APPLICATION
