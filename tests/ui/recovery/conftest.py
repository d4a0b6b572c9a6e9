"""No keyring but the one that a test brings, and no browser that really opens."""

from __future__ import annotations

import webbrowser

import pytest


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer without a Secret Service."""
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nonexistent")


@pytest.fixture(autouse=True)
def browser(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were given to the browser."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    return opened


@pytest.fixture(autouse=True)
def hurried(short_pauses: None) -> None:
    """What is proven here is what is shown while the core tries again."""
