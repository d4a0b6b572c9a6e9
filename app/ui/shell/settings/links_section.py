"""Settings ▸ Links: whether the system opens burrow:// links with this Burrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.core.desktop.link_handler import KEEP_SETTING, HandlerKind, link_handler
from app.core.installation import installation
from app.marks import isolated, revealed_name
from app.ui.shell.settings.section import Setting, SettingsSection, set_checked
from app.ui.translation import marked
from app.ui.widgets.choices import CheckBox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PySide6.QtCore import QObject
    from PySide6.QtWidgets import QWidget

    from app.core.desktop.link_handler import HandlerState, LinkHandler
    from app.core.errors import BurrowError
    from app.ui.shell.settings.section import SettingsContext


def _own() -> LinkHandler:
    return link_handler(installation())


class LinksSection(SettingsSection):
    """Read from the system when the page opens and after each change."""

    title = marked("Settings", "Links")
    settings = (Setting(KEEP_SETTING, marked("Settings", "burrow:// links"), resettable=False),)

    def __init__(self, context: SettingsContext, parent: QObject, find: Callable[[], LinkHandler] = _own) -> None:
        super().__init__(context, parent)
        self._handler = find()
        self._state: HandlerState | None = None
        self._trouble = ""
        self._run(lambda: None)

    def controls(self) -> Mapping[str, QWidget]:
        self.box = CheckBox(self.tr("Open them with this Burrow"))
        self.box.toggled.connect(self._switch)
        return {KEEP_SETTING: self.box}

    def refresh(self) -> Mapping[str, bool]:
        state = self._state
        kind = state.kind if state is not None else HandlerKind.FIXED
        set_checked(self.box, kind in {HandlerKind.THIS, HandlerKind.PACKAGE})
        self.box.setEnabled(kind in {HandlerKind.THIS, HandlerKind.OTHER, HandlerKind.NONE})
        who = isolated(revealed_name(state.who)) if state is not None else ""
        words = {
            HandlerKind.THIS: self.tr("A link opens a task or a server here, or asks before it begins a draft."),
            HandlerKind.PACKAGE: self.tr("The installed package opens them."),
            HandlerKind.OTHER: self.tr("{0} opens them.").format(who),
            HandlerKind.NONE: self.tr("No program opens them."),
            HandlerKind.FIXED: self.tr("Only an installed Burrow can open them."),
        }
        self.rows[KEEP_SETTING].set_hint(self._trouble or (words[kind] if state is not None else ""))
        return {}

    def _switch(self, on: bool) -> None:
        self.put(KEEP_SETTING, on)
        handler = self._handler
        self._run(lambda: handler.register(chosen=True) if on else handler.unregister())

    def _run(self, change: Callable[[], None]) -> None:
        import asyncio

        handler = self._handler

        def changed() -> HandlerState:
            change()
            return handler.state()

        self.context.bridge.spawn(
            self, asyncio.to_thread(changed), done=self._show_state, failed=self._failed, key=KEEP_SETTING
        )

    def _show_state(self, state: HandlerState) -> None:
        self._state, self._trouble = state, ""
        self.changed.emit()

    def _failed(self, refused: BurrowError) -> None:
        self._trouble = f"{refused.cause} {refused.advice}".strip()
        self.changed.emit()
