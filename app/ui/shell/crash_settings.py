"""The keys of what is stored about crashes."""

from __future__ import annotations

# The name of the newest report that was told of, and whether the loop is watched.
TOLD_SETTING = "crash.told"
WATCH_SETTING = "crash.watch_loop"
