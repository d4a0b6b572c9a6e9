"""Keeps what is typed into the form of something new, in the drafts of the account or of this computer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from PySide6.QtCore import QObject

from app.core.mcp.servers.own_source import THIS_MACHINE
from app.ui.save_soon import SaveSoon

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from PySide6.QtCore import SignalInstance

    from app.core.errors import BurrowError
    from app.core.services import Services
    from app.core.storage import Draft, Scope
    from app.ui.bridge import Bridge
    from app.ui.widgets.feedback import InlineCard

ID = "new"


class DraftedForm(Protocol):
    """A form. It emits `typed()` when anything in it was changed."""

    @property
    def typed(self) -> SignalInstance: ...

    @property
    def card(self) -> InlineCard: ...

    def typed_fields(self) -> dict[str, str]:
        """What was typed and chosen, without secrets; empty when nothing was typed."""

    def fill(self, fields: Mapping[str, str]) -> None:
        """Put back what `typed_fields` gave."""

    def reset(self) -> None:
        """Empty the form."""


class NewItemDraft(QObject):
    """The draft of one form; `kind` names what it makes, `other` says that another window left one behind."""

    def __init__(
        self, services: Services, bridge: Bridge, form: DraftedForm, kind: str, other: str, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._services, self._bridge, self._form = services, bridge, form
        self._kind, self._other = kind, other
        self._scope: Scope = THIS_MACHINE
        self._filling = self._pending = self._touched = False
        self._save_soon = SaveSoon(self._save, self)
        form.typed.connect(self._typed)

    def start(self, scope: Scope | None) -> None:
        """Keep what was typed for the former account, and show what was typed for this one, or for this computer."""
        self._save()
        self._scope = scope or THIS_MACHINE
        self._touched = False
        self._fill({})
        self._bridge.cancel(self, "load")
        self._bridge.spawn(
            self,
            self._services.storage.drafts.load(self._scope, self._kind, ID),
            done=self._loaded,
            failed=_only_in_memory,
            key="load",
        )

    @property
    def unsaved(self) -> bool:
        """Whether something is not saved yet."""
        return self._pending

    async def flush(self) -> None:
        """Save what is being typed."""
        self._save_soon.stop()
        if self._pending:
            self._pending = False
            await self._stored()

    def _typed(self) -> None:
        if not self._filling:
            self._touched = self._pending = True
            self._save_soon.changed()

    def _save(self) -> None:
        self._save_soon.stop()
        if self._pending:
            self._pending = False
            self._bridge.spawn(self, self._stored(), failed=_only_in_memory)

    def _stored(self) -> Coroutine[Any, Any, None]:
        """Stores what is typed now, for whom it is typed now, whenever it is awaited."""
        drafts, fields = self._services.storage.drafts, self._form.typed_fields()
        if fields:
            return drafts.save(self._scope, self._kind, ID, fields)
        return drafts.discard(self._scope, self._kind, ID)

    def _loaded(self, fields: dict[str, str] | None) -> None:
        if fields is None:
            return
        if self._touched:
            # What is typed from here on must not replace the stored text, which nobody has seen.
            self._services.storage.drafts.release_soon(self._scope, self._kind, ID)
        else:
            self._fill(fields)
        self._look_for_other()

    def _look_for_other(self) -> None:
        work = self._services.storage.drafts.others(self._scope, self._kind, ID)
        self._bridge.spawn(self, work, done=self._offer_other, failed=_only_in_memory, key="load")

    def _offer_other(self, others: tuple[Draft, ...]) -> None:
        if others:
            show = (self.tr("Show it"), lambda: self._show_other(others[0]))
            self._form.card.show_note(self._other, actions=[show], tone="info")

    def _show_other(self, other: Draft) -> None:
        """Show what another window left behind. What is in the form stays stored, and is the other one then."""
        self._save()
        work = self._services.storage.drafts.change_to(self._scope, other)
        self._bridge.spawn(self, work, done=self._changed_to, failed=_only_in_memory, key="load")

    def _changed_to(self, fields: dict[str, str] | None) -> None:
        if fields is not None:
            self._fill({})
            self._fill(fields)
        self._look_for_other()

    def _fill(self, fields: dict[str, str]) -> None:
        self._filling = True
        try:
            if fields:
                self._form.fill(fields)
            else:
                self._form.reset()
        finally:
            self._filling = False


def _only_in_memory(_error: BurrowError) -> None:
    """A draft that could not be saved stays in memory. The storage asks about it when the window closes."""
