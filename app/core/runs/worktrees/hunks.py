"""Hunks of a unified difference (https://www.gnu.org/software/diffutils/manual/html_node/Detailed-Unified.html)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from app.core.posthog.types import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")


class DiffLine(Value, frozen=True, gc=False):
    """`mark` is a space for a line of both, `-` for one that went, `+` for one that came.

    `old` and `new` are its numbers, from 1, None on the side that lacks it. `open` says that no line break ends it.
    """

    mark: str
    text: str
    old: int | None
    new: int | None
    open: bool = False


class Hunk(Value, frozen=True):
    """`heading` is what git says stands around it, such as a function's name."""

    old_start: int
    new_start: int
    heading: str
    lines: tuple[DiffLine, ...]


def parse_hunks(text: str) -> Iterator[Hunk]:
    """The hunks of the difference of one file. What comes before the first is left out."""
    head: tuple[int, int, str] | None = None
    lines: list[DiffLine] = []
    old = new = old_end = new_end = 0
    # Only a line feed ends a line here; a form feed or a separator of Unicode belongs to its line.
    for line in text.split("\n"):
        # Another file follows where a link took the place of a file: lines of its head are none of a hunk.
        inside = head is not None and (old < old_end or new < new_end)
        found = None if inside else _HEAD.match(line)
        if found is not None:
            if head is not None:
                yield Hunk(*head, tuple(lines))
            old, new = int(found[1]), int(found[3])
            old_end, new_end = old + int(found[2] or 1), new + int(found[4] or 1)
            head, lines = (old, new, found[5]), []
        elif line[:1] == "\\" and lines:
            last = lines[-1]
            lines[-1] = DiffLine(last.mark, last.text, last.old, last.new, open=True)
        elif inside and line[:1] in {" ", "-", "+"}:
            mark = line[0]
            lines.append(DiffLine(mark, line[1:], None if mark == "+" else old, None if mark == "-" else new))
            old += mark != "+"
            new += mark != "-"
    if head is not None:
        yield Hunk(*head, tuple(lines))
