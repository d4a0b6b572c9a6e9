"""Settings ▸ Sign-in: where it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.ui.shell.settings.section import Setting, SettingsSection, select, translated
from app.ui.translation import marked
from app.ui.widgets.choices import Select

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtCore import QObject
    from PySide6.QtWidgets import QWidget

    from app.core.errors import BurrowError
    from app.ui.shell.settings.section import SettingsContext

STORE = "store"
STORES = (
    ("keyring", marked("Settings", "Keyring")),
    ("file", marked("Settings", "Private file")),
    ("memory", marked("Settings", "Memory, until Burrow ends")),
)


class SignInSection(SettingsSection):
    """It is of the credential in view, not stored with the settings, and has no default."""

    title = marked("Settings", "Sign-in")
    settings = (Setting(STORE, marked("Settings", "Where the sign-in is kept"), resettable=False),)

    def __init__(self, context: SettingsContext, parent: QObject) -> None:
        super().__init__(context, parent)
        services, bridge = context.services, context.bridge
        bridge.listen(self, services.sign_ins.changed, lambda _nothing: self.changed.emit())
        bridge.listen(self, services.backend_changed, lambda _backend: self.changed.emit())

    def controls(self) -> Mapping[str, QWidget]:
        name = self.tr("Where the sign-in is kept")
        self.store = Select(name, [(value, translated(words)) for value, words in STORES])
        self.store.activated.connect(lambda _row: self._choose())
        return {STORE: self.store}

    def refresh(self) -> Mapping[str, bool]:
        backend = self.context.services.backend
        row = self.rows[STORE]
        held = backend is not None and backend.credential.grant is not None
        self.store.setEnabled(held and not (backend is not None and backend.host.embedded))
        if backend is None:
            row.set_hint(self.tr("Nobody is signed in."))
            return {}
        status = backend.credential.status
        select(self.store, status.store)
        if backend.host.embedded:
            row.set_hint(self.tr("The sign-in to the embedded workspace is made anew at each start."))
        elif status.persistent:
            row.set_hint(self.tr("Counts for {0}. It is moved at once.").format(backend.host.name))
        else:
            row.set_hint(self.tr("Counts for {0}. It is forgotten when Burrow ends.").format(backend.host.name))
        return {}

    def _choose(self) -> None:
        backend = self.context.services.backend
        if backend is None:
            return
        self.context.bridge.spawn(
            self,
            backend.credential.choose_store(str(self.store.currentData())),
            done=lambda _nothing: self.refresh(),
            failed=self._failed,
            key=STORE,
        )

    def _failed(self, error: BurrowError) -> None:
        self.refresh()
        self.rows[STORE].set_hint(f"{error.title}. {error.cause} {error.advice}".strip())
