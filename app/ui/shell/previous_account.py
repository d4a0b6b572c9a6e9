"""Drafts and unsent changes of the account that was signed in before: kept or discarded, as the user says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal

from app.ui.widgets.feedback import Banner

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from app.core.storage import Draft, OutboxItem, Scope, Storage
    from app.ui.bridge import Bridge

Left = tuple[list["Draft"], tuple["OutboxItem", ...]]


class PreviousAccountBanner(Banner):
    """Asks whether to keep them; they are neither shown nor sent meanwhile. `said(text)` is to be announced."""

    said = Signal(str)

    def __init__(self, storage: Storage, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._storage, self._bridge = storage, bridge

    def ask(self, scope: Scope, name: str) -> None:
        """Ask about what `scope`, the account called `name`, left. Show nothing if it left nothing."""

        def found(left: Left) -> None:
            words = self._question(left, name)
            if words:
                keep = (self.tr("Keep separate"), self.clear)
                discard = (self.tr("Discard"), lambda: self._discard(scope, left))
                self.show_message(words, "info", secondary=[keep, discard], glyph="user")
                self.said.emit(words)

        self._bridge.spawn(self, self._find(scope), done=found, key="ask")

    def forget(self) -> None:
        """Withdraw the question; everything is kept."""
        self._bridge.cancel(self)
        self.clear()

    def _question(self, left: Left, name: str) -> str:
        drafts, unsent = map(len, left)
        if drafts and unsent:
            return self.tr("Drafts and unsent changes ({0}) belong to {1}.").format(drafts + unsent, name)
        if unsent:
            one = self.tr("An unsent change belongs to {0}.").format(name)
            return one if unsent == 1 else self.tr("{0} unsent changes belong to {1}.").format(unsent, name)
        if drafts:
            one = self.tr("Draft belongs to {0}.").format(name)
            return one if drafts == 1 else self.tr("{0} drafts belong to {1}.").format(drafts, name)
        return ""

    async def _find(self, scope: Scope) -> Left:
        drafts = [draft for draft in await self._storage.drafts.list(scope) if any(draft.fields.values())]
        return drafts, await self._storage.outbox.list(scope)

    def _discard(self, scope: Scope, left: Left) -> None:
        self.clear()
        # What the user was asked about. Anything that was written since stays.
        drafts, unsent = left

        async def discard() -> None:
            for draft in drafts:
                await self._storage.drafts.remove(scope, draft)
            for item in unsent:
                await self._storage.outbox.remove(item.id)

        self._bridge.spawn(self, discard(), key="discard")
