"""Compiles the SVG files in `lucide/` into `app/ui/theme/icon_paths.py`, so that no SVG is read at run time.

    python3 packaging/icons/compile.py            writes the module
    python3 packaging/icons/compile.py --check    exit code 1 if it is not what the files say

To add an icon, copy its file from the npm package `lucide-static` (the version is in the files' first line) into
`lucide/`, name it in `NAMES`, and run this program. It reads what Lucide uses: path, line, circle, ellipse, rect,
polyline and polygon on a 24 x 24 grid, with one stroke for all.
"""

from __future__ import annotations

import math
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SOURCE = HERE / "lucide"
TARGET = HERE.parent.parent / "app" / "ui" / "theme" / "icon_paths.py"

# The window's names of the icons, and Lucide's.
NAMES = {
    "activity": "activity",
    "archive": "archive",
    "back": "chevron-left",
    "bell": "bell",
    "block": "ban",
    "cancelled": "circle-slash",
    "check": "check",
    "chevron-down": "chevron-down",
    "chevron-right": "chevron-right",
    "chevron-up": "chevron-up",
    "clock": "clock",
    "code": "code",
    "connect": "plug",
    "copy": "copy",
    "cross": "x",
    "dashed": "circle-dashed",
    "document": "file-text",
    "dot": "circle-small",
    "download": "download",
    "edit": "pencil",
    "external": "external-link",
    "eye": "eye",
    "filter": "list-filter",
    "folder": "folder",
    "forward": "chevron-right",
    "history": "history",
    "home": "house",
    "image": "image",
    "info": "info",
    "key": "key",
    "keyboard": "keyboard",
    "lab": "flask-conical",
    "link": "link",
    "lock": "lock",
    "menu": "menu",
    "minus": "minus",
    "more": "ellipsis",
    "offline": "cloud-off",
    "pin": "pin",
    "play": "play",
    "plus": "plus",
    "project": "layout-grid",
    "question": "circle-question-mark",
    "refresh": "refresh-cw",
    "ring": "circle-small",
    "search": "search",
    "servers": "server",
    "settings": "settings",
    "sign-out": "log-out",
    "stop": "circle-stop",
    "table": "table",
    "tasks": "list-todo",
    "tool": "wrench",
    "trash": "trash-2",
    "undo": "undo-2",
    "user": "user",
    "warning": "triangle-alert",
}
# Painted as areas instead of lines.
FILLED = ("dot",)

# How long a line of the module may be, without what surrounds the commands.
WIDTH = 100
# The distance of the control points of a quarter circle, in radii.
KAPPA = 4 / 3 * (math.sqrt(2) - 1)
TOKEN = re.compile(r"[MmLlHhVvCcSsQqTtAaZz]|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
# Between the two flags of an arc and the number after them there need be no space.
ARC = re.compile(r"([Aa])([^A-Za-z]*)")
HEAD = '''"""The line icons as commands on a 24 x 24 grid. Written by `packaging/icons/compile.py`; do not edit.

`M x y` move, `L x y` line, `C x1 y1 x2 y2 x y` cubic curve, `Z` close. The drawings are Lucide's (ISC licence,
`packaging/licences/Lucide.txt`), of which {version}.
"""

from __future__ import annotations

# fmt: off
'''

Point = tuple[float, float]


def compiled() -> str:
    """The text of the module."""
    drawings = {name: _drawing(SOURCE / f"{source}.svg") for name, source in sorted(NAMES.items())}
    version = (SOURCE / "x.svg").read_text("utf-8").splitlines()[0]
    found = re.search(r"lucide-static v[\d.]+", version)
    lines = [HEAD.format(version=found.group() if found else "lucide-static")]
    lines.append(f"FILLED = frozenset({{{', '.join(repr(name).replace(chr(39), chr(34)) for name in FILLED)}}})\n")
    lines.append("DRAWINGS: dict[str, str] = {\n")
    for name, commands in drawings.items():
        if len(commands) + len(name) < WIDTH:
            lines.append(f'    "{name}": "{commands}",\n')
        else:
            parts = "".join(f'        "{part}"\n' for part in _broken(commands))
            lines.append(f'    "{name}": (\n{parts}    ),\n')
    lines.append("}\n")
    return "".join(lines)


def _drawing(path: Path) -> str:
    return " ".join(command for element in ET.parse(path).getroot() for command in _shape(element))


def _shape(element: ET.Element) -> Iterator[str]:
    kind = element.tag.rpartition("}")[2]

    def number(name: str) -> float:
        return float(element.get(name, "0"))

    if kind == "path":
        yield from _path(element.get("d", ""))
    elif kind == "line":
        yield _write("M", number("x1"), number("y1"))
        yield _write("L", number("x2"), number("y2"))
    elif kind in {"polyline", "polygon"}:
        values = [float(each) for each in TOKEN.findall(element.get("points", ""))]
        for at in range(0, len(values), 2):
            yield _write("L" if at else "M", values[at], values[at + 1])
        if kind == "polygon":
            yield "Z"
    elif kind in {"circle", "ellipse"}:
        across = number("r") or number("rx")
        yield from _rounded(number("cx") - across, number("cy") - (number("r") or number("ry")), 2 * across, None, 0)
    elif kind == "rect":
        radius = number("rx") or number("ry")
        yield from _rounded(number("x"), number("y"), number("width"), number("height"), radius)
    else:
        raise ValueError(f"{kind} is not read")


def _rounded(x: float, y: float, width: float, height: float | None, radius: float) -> Iterator[str]:
    """A rectangle with round corners; a circle without a height."""
    if height is None:
        height, radius = width, width / 2
    right, bottom, gap = x + width, y + height, radius * (1 - KAPPA)
    corners = [
        ((x + radius, y), (right - radius, y), (right - gap, y, right, y + gap, right, y + radius)),
        (
            (right, y + radius),
            (right, bottom - radius),
            (right, bottom - gap, right - gap, bottom, right - radius, bottom),
        ),
        ((right - radius, bottom), (x + radius, bottom), (x + gap, bottom, x, bottom - gap, x, bottom - radius)),
        ((x, bottom - radius), (x, y + radius), (x, y + gap, x + gap, y, x + radius, y)),
    ]
    yield _write("M", x + radius, y)
    for begin, end, corner in corners:
        if begin != end:
            yield _write("L", *end)
        if radius:
            yield _write("C", *corner)
    yield "Z"


def _path(text: str) -> Iterator[str]:
    """The commands of a path (SVG 2, "Paths"), absolute, without arcs and shorthands."""
    words = TOKEN.findall(ARC.sub(_with_spaces, text))
    numbers_of = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "A": 7, "Z": 0}
    command, at, start, control = "", (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)
    while words:
        if words[0].isalpha():
            command = words.pop(0)
        kind = command.upper()
        count = numbers_of[kind]
        numbers, words = [float(word) for word in words[:count]], words[count:]
        x, y = at if command.islower() else (0.0, 0.0)
        if kind == "Z":
            at = start
            yield "Z"
        elif kind in {"M", "L", "H", "V"}:
            left, top = {"H": (numbers[0], None), "V": (None, numbers[0])}.get(kind, tuple(numbers[:2]))
            at = (at[0] if left is None else x + left, at[1] if top is None else y + top)
            yield _write("M" if kind == "M" else "L", *at)
            if kind == "M":
                # Further pairs of numbers are lines.
                start, command = at, "l" if command == "m" else "L"
        elif kind in {"C", "S"}:
            points = [(x + numbers[n], y + numbers[n + 1]) for n in range(0, count, 2)]
            if kind == "S":
                points.insert(0, (2 * at[0] - control[0], 2 * at[1] - control[1]))
            _, control, at = points
            yield _write("C", *(value for point in points for value in point))
            continue
        else:
            across, down, turned, large, sweep, *end = numbers
            target = (x + end[0], y + end[1])
            yield from _arc(at, target, across, down, turned, large != 0, sweep != 0)
            at = target
        control = at


def _with_spaces(arc: re.Match[str]) -> str:
    """An arc with its flags set apart: `a2 2 0 012 2` is `a 2 2 0 0 1 2 2`."""
    rest = arc.group(2)
    found: list[str] = []
    number = r"\s*,?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
    pattern = re.compile(number * 3 + r"\s*,?\s*([01])\s*,?\s*([01])" + number * 2)
    for match in pattern.finditer(rest):
        found.extend(match.groups())
    return " ".join([arc.group(1), *found, ""])


def _arc(
    start: Point, end: Point, across: float, down: float, turned: float, large: bool, sweep: bool
) -> Iterator[str]:
    """An arc as cubic curves (SVG 2, appendix B.2.4)."""
    if start == end:
        return
    if not across or not down:
        yield _write("L", *end)
        return
    angle = math.radians(turned)
    cos, sin = math.cos(angle), math.sin(angle)
    half_x, half_y = (start[0] - end[0]) / 2, (start[1] - end[1]) / 2
    x, y = cos * half_x + sin * half_y, cos * half_y - sin * half_x
    grown = math.sqrt(max(1.0, (x / across) ** 2 + (y / down) ** 2))
    across, down = across * grown, down * grown
    under = (across * down) ** 2 - (across * y) ** 2 - (down * x) ** 2
    factor = math.sqrt(max(0.0, under) / ((across * y) ** 2 + (down * x) ** 2))
    factor = -factor if large == sweep else factor
    centre_x, centre_y = factor * across * y / down, -factor * down * x / across
    middle_x = cos * centre_x - sin * centre_y + (start[0] + end[0]) / 2
    middle_y = sin * centre_x + cos * centre_y + (start[1] + end[1]) / 2
    first = math.atan2((y - centre_y) / down, (x - centre_x) / across)
    turn = math.atan2((-y - centre_y) / down, (-x - centre_x) / across) - first
    if sweep and turn < 0:
        turn += 2 * math.pi
    elif not sweep and turn > 0:
        turn -= 2 * math.pi
    parts = max(1, math.ceil(abs(turn) / (math.pi / 2) - 1e-9))
    step = turn / parts
    reach = 4 / 3 * math.tan(step / 4)

    def place(u: float, v: float) -> Point:
        return (middle_x + cos * across * u - sin * down * v, middle_y + sin * across * u + cos * down * v)

    for part in range(parts):
        one, two = first + part * step, first + (part + 1) * step
        leave = place(math.cos(one) - reach * math.sin(one), math.sin(one) + reach * math.cos(one))
        arrive = place(math.cos(two) + reach * math.sin(two), math.sin(two) - reach * math.cos(two))
        yield _write("C", *leave, *arrive, *(place(math.cos(two), math.sin(two)) if part < parts - 1 else end))


def _write(command: str, *numbers: float) -> str:
    # Adding zero turns -0.0 into 0.0.
    return " ".join([command, *(f"{round(number, 2) + 0.0:g}" for number in numbers)])


def _broken(text: str) -> list[str]:
    """The text in lines, each but the last with a space at its end."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + len(word) > WIDTH:
            lines.append(line)
            line = ""
        line += word + " "
    return [*lines, line.rstrip()]


def main() -> int:
    text = compiled()
    if "--check" in sys.argv:
        return int(not TARGET.is_file() or TARGET.read_text("utf-8") != text)
    TARGET.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
