"""Every screen, at every text size and in the smallest window: nothing is cut off, small, covered or unnamed."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from tests.ui._every_screen import every_screen, shown_window
from tests.ui._walk import clipped, misnamed, overlapping, small_targets

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
