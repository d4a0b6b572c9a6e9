"""The window around the places: rail, status corner, the one sign-in bar, palette, activity drawer, keyboard map.

    MainWindow(services, bridge, places, first_run=None, *, paint_first=False)
        places: {"tasks" | "servers" | "lab": factory(Context) -> PlaceWidget}, built when first shown
        first_run: factory() -> QWidget, shown while nobody is signed in anywhere
        paint_first: leave the place in view out until `fill()`, so that the first paint does not wait for it
        .context (Context) .bar (SignInBar) .flush() .save_layout() (coroutines, await them before storage closes)

Beyond `PlaceWidget` a place may have: `count_changed = Signal(int)` for the rail, `waiting_sent = Signal()` for each
change that had waited for the sign-in and has been sent, `waiting: int` calls that wait for it with `waiting_changed =
Signal()` and `call_resumed = Signal()` for each that was answered, `saved_shown = Signal()` once what was kept at the
last start is on the screen, `items() -> Sequence[Command]` for the palette (go to a task, a server, a tool), `panes()
-> Sequence[QWidget]` for F6, `flush()` (a coroutine) to write what it holds back. The keys of a place's `commands()`
are bound by the window and work while the place is in view; keys that a place binds itself are left to it.
"""

from __future__ import annotations

from app.ui.shell.window import MainWindow

__all__ = ["MainWindow"]
