"""A place in a window on the real services, signed in to a freshly seeded workspace process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from PySide6.QtWidgets import QApplication, QWidget

from app.core.backend import Backend
from app.core.services import Services
from app.ui.bridge import Bridge
from app.ui.context import Context
from app.ui.theme import apply_theme
from tests.ui._spares import SPARES
from tests.ui._tasks_fakes import FakeNavigator, settle, until

Place = TypeVar("Place", bound=QWidget)


@asynccontextmanager
async def on_workspace(
    qapp: QApplication, folder: Path, make: Callable[[Context], Place], loaded: Callable[[Place], Any]
) -> AsyncIterator[tuple[Place, Backend, Services]]:
    """The place once `loaded` holds."""
    apply_theme(qapp, "light", 1.0)
    SPARES.lend(folder)
    services, bridge = Services(folder), Bridge()
    place: Any = make(Context(services, bridge, FakeNavigator()))
    place.resize(1000, 760)
    place.show()
    try:
        backend = await services.connect(await services.start_workspace())
        await backend.ready()
        place.set_backend(backend)
        await until(lambda: loaded(place), 20)
        await settle()
        yield place, backend, services
    finally:
        await place.flush()
        await bridge.close()
        await services.close()
        place.close()
        place.deleteLater()
        await settle()
