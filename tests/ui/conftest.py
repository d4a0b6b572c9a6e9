"""Workspaces for the tests of the window, started ahead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget

from app.core import backend
from app.core.auth.grant import refresh, watcher
from app.ui.theme import apply_theme
from tests.conftest import RunningWorkspace
from tests.ui._spares import SPARES


@pytest.fixture(scope="session", autouse=True)
def spares() -> Iterator[None]:
    """The last one ends with the tests."""
    yield
    SPARES.end()


@pytest.fixture(autouse=True)
def taken() -> Iterator[None]:
    """What a test took ends with it."""
    yield
    SPARES.end_taken()


@pytest.fixture(autouse=True)
def no_session_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test shows no notification on the desktop of whoever runs it."""
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)


@pytest.fixture(autouse=True)
def widgets_end() -> Iterator[None]:
    """The windows that a test made end with it: a theme that changes would style them again in every later test."""
    before = set(_windows())
    yield
    for window in _windows():
        if window not in before:
            window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def _windows() -> list[QWidget]:
    if QApplication.instance() is None:
        return []
    # Popups and tooltips without a parent belong to Qt: to a completer, for example, which would delete its own again.
    belong_to_qt = {Qt.WindowType.Popup, Qt.WindowType.ToolTip}
    return [
        each for each in QApplication.topLevelWidgets() if not each.parent() and each.windowType() not in belong_to_qt
    ]


@pytest.fixture(params=["light", "dark"])
def host(qapp: QApplication, request: pytest.FixtureRequest) -> Iterator[QWidget]:
    """A window with an empty column, in each theme."""
    apply_theme(qapp, request.param)
    widget = QWidget()
    QVBoxLayout(widget)
    widget.resize(420, 300)
    widget.show()
    yield widget
    widget.close()
    widget.deleteLater()
    apply_theme(qapp, "light")


@pytest.fixture
def workspace() -> RunningWorkspace:
    """One freshly seeded workspace."""
    return SPARES.take()


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core tries again ten times as soon. How long it waits is proven by its own tests."""
    monkeypatch.setattr(refresh, "PAUSES", tuple(pause / 10 for pause in refresh.PAUSES))
    monkeypatch.setattr(refresh, "COOLDOWN", tuple(pause / 10 for pause in refresh.COOLDOWN))
    monkeypatch.setattr(watcher, "POLL_SECONDS", watcher.POLL_SECONDS / 10)
    monkeypatch.setattr(backend, "RECHECK_SECONDS", tuple(pause / 10 for pause in backend.RECHECK_SECONDS))
