"""Every screen, at every text size and in the smallest window: nothing is cut off, small, covered or unnamed."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from app.ui.theme import apply_theme
from tests.ui._every_screen import every_screen, shown_window
from tests.ui._walk import clipped, misnamed, mnemonics, overlapping, small_targets

pytestmark = pytest.mark.qt_log_ignore("propagateSizeHints", extend=True)

LOOKS = [(1.0, (720, 420)), (1.0, (1440, 900)), (1.6, (720, 420)), (1.6, (1180, 760))]


@pytest.mark.parametrize(("scale", "size"), LOOKS, ids=str)
async def test_no_screen_cuts_covers_shrinks_or_misnames_anything(
    qapp: QApplication, tmp_path: Path, scale: float, size: tuple[int, int]
) -> None:
    faults = []
    async with shown_window(qapp, tmp_path, "light", scale, size) as alive:
        async for name, root in every_screen(alive):
            found = [*clipped(root), *overlapping(root), *small_targets(root, scale), *misnamed(root)]
            faults.extend(f"{name}: {fault}" for fault in found)
    assert not faults, "\n".join(faults)


async def test_no_letter_leads_to_two_controls_of_one_page(qapp: QApplication, tmp_path: Path) -> None:
    async with shown_window(qapp, tmp_path, "light", 1.0, (1180, 760)) as alive:
        async for name, root in every_screen(alive):
            found = mnemonics(root)
            assert len(found) == len(set(found)), f"{name}: {found}"


async def test_text_that_is_made_larger_in_an_open_window_is_not_cut_off(qapp: QApplication, tmp_path: Path) -> None:
    faults = []
    async with shown_window(qapp, tmp_path, "light", 1.0, (1180, 760)) as alive:
        async for _ in every_screen(alive):
            pass
        for scale in (1.6, 2.0):
            apply_theme(qapp, "light", scale)
            async for name, root in every_screen(alive):
                faults.extend(f"{name} at {scale}: {fault}" for fault in [*clipped(root), *overlapping(root)])
    assert not faults, "\n".join(faults)
