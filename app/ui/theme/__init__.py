"""How Burrow looks: named tokens, light and dark, icons, and how a state is shown. Knows nothing of the core.

from app.ui.theme import apply_theme, theme, tokens

apply_theme(app, "system", scale=1.0)     once, in the composition root; again to switch
theme()                                   the Theme in force: .colours .scale .mode .changed (signal)
theme().px(8)                             a length of the design in device-independent pixels at this text size
theme().font("caption")                   caption | body | strong | lead | section | title | mono
theme().colour("muted")                   QColor of a field of tokens.Colours
icons.icon("refresh", "muted")            QIcon; icons.paint_icon(painter, name, rect, colour)
State(glyph, word, tone)                  a state as it is shown; `state.translated` for those of a table
"""

from __future__ import annotations

from app.ui.theme.apply import Theme, apply_theme, theme
from app.ui.theme.state import State

__all__ = ["State", "Theme", "apply_theme", "theme"]
