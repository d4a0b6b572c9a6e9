"""The icons: compiled from the vendored SVG files, sharp at every scale, and told apart without their colour."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path

import pytest
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QApplication

from app.ui.server_states import SERVER_STATES
from app.ui.servers.policy import POLICY_STATES
from app.ui.servers.wording import CALL_STATES
from app.ui.tasks.wording import RUN_STATES
from app.ui.theme import icons
from app.ui.theme.icon_paths import DRAWINGS

ROOT = Path(__file__).resolve().parents[2]
COMPILER = ROOT / "packaging" / "icons" / "compile.py"
SIDE = 16
# A stroke of two grid units is 1.67 pixels wide at 125 %: each of its two pixels is covered to 83 %.
DARK = 205


def ink(name: str, ratio: float = 1.0, at: float = 0.0) -> list[list[int]]:
    """How much each pixel is covered, 0 to 255, where the drawing begins `at` pixels from the edge."""
    room = round((SIDE + 4) * ratio)
    image = QImage(room, room, QImage.Format.Format_ARGB32_Premultiplied)
    image.setDevicePixelRatio(ratio)
    image.fill(0)
    painter = QPainter(image)
    icons.paint_icon(painter, name, QRectF(2 + at, 2 + at, SIDE, SIDE), QColor("black"))
    painter.end()
    return [[image.pixelColor(x, y).alpha() for x in range(room)] for y in range(room)]


def test_the_module_is_what_the_files_say() -> None:
    subprocess.run([sys.executable, str(COMPILER), "--check"], check=True)


def test_every_file_is_used_and_comes_from_the_version_and_licence_that_the_notices_name() -> None:
    text = COMPILER.read_text("utf-8")
    files = sorted((COMPILER.parent / "lucide").glob("*.svg"))
    assert files
    assert [file.stem for file in files if f'"{file.stem}"' not in text] == []
    first_lines = {file.read_text("utf-8").splitlines()[0] for file in files}
    assert len(first_lines) == 1
    version = re.search(r"lucide-static v([\d.]+) - ISC", first_lines.pop())
    assert version is not None
    assert version.group(1) in (ROOT / "packaging" / "NOTICES.md").read_text("utf-8")
    assert "ISC License" in (ROOT / "packaging" / "licences" / "Lucide.txt").read_text("utf-8")
    assert all(ET.parse(file).getroot().get("viewBox") == "0 0 24 24" for file in files)


@pytest.mark.parametrize("ratio", [1.0, 1.25, 1.5, 2.0])
@pytest.mark.parametrize("at", [0.0, 0.5])
@pytest.mark.parametrize("name", ["minus", "plus", "menu", "stop", "table", "archive", "filter"])
def test_lines_along_the_axes_cover_whole_pixels(qapp: QApplication, name: str, ratio: float, at: float) -> None:
    # The fullest row is that of a horizontal line. A line between two pixels would be grey.
    fullest = max(ink(name, ratio, at), key=sum)
    assert sum(1 for alpha in fullest if alpha >= DARK) >= 3


@pytest.mark.parametrize("name", sorted(DRAWINGS))
@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
def test_a_drawing_stays_inside_its_square(qapp: QApplication, name: str, ratio: float) -> None:
    covered = ink(name, ratio)
    edge = round(ratio)
    outside = [*covered[:edge], *covered[-edge:]]
    assert all(alpha < 40 for row in outside for alpha in row)
    assert any(alpha > 200 for row in covered for alpha in row)


TABLES = (RUN_STATES, SERVER_STATES, CALL_STATES, POLICY_STATES)


@pytest.mark.parametrize("table", TABLES)
def test_states_that_lists_show_side_by_side_differ_in_shape(qapp: QApplication, table: dict) -> None:
    shapes = {state.glyph: ink(state.glyph) for state in table.values()}
    assert len(shapes) == len(table), "two states have one glyph"
    for (one, first), (two, second) in combinations(shapes.items(), 2):
        pairs = [(a, b) for row, other in zip(first, second, strict=True) for a, b in zip(row, other, strict=True)]
        differing = sum(abs(a - b) > 100 for a, b in pairs)
        assert differing >= 12, f"{one} and {two} look alike"


def test_no_icon_looks_like_an_empty_check_box() -> None:
    shapes = {file.stem: list(ET.parse(file).getroot()) for file in (COMPILER.parent / "lucide").glob("*.svg")}
    assert [name for name, parts in shapes.items() if [part.tag.rpartition("}")[2] for part in parts] == ["rect"]] == []
