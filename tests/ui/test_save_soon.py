"""What is being typed is saved while it is typed, not only once the person pauses."""

from __future__ import annotations

import asyncio
from time import monotonic

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication

from app.ui.save_soon import SAVE_WITHIN_MS, SaveSoon


async def test_who_types_without_a_pause_is_saved_all_the_same(qapp: QApplication) -> None:
    owner, saves = QObject(), 0

    def save() -> None:
        nonlocal saves
        saves += 1

    soon = SaveSoon(save, owner)
    end = monotonic() + 3.5 * SAVE_WITHIN_MS / 1000
    while monotonic() < end:
        soon.changed()
        await asyncio.sleep(0.02)
    assert 2 <= saves <= 4


async def test_nothing_is_saved_where_nothing_changed(qapp: QApplication) -> None:
    owner = QObject()
    soon = SaveSoon(lambda: None, owner)
    assert not soon.isActive()
    assert SAVE_WITHIN_MS < 500
