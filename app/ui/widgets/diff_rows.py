"""The lines of a difference, as rows of one column or of two."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TAB = 4
# A longer line is shown to here; copying has all of it.
LONGEST_SHOWN = 2_000


class DiffRowLine(NamedTuple):
    """`mark`: a space, `-`, `+`, or `@` for a heading. `number` is the line's in its file, 0 without one.

    `open` says that no line break ends it.
    """

    mark: str
    text: str
    number: int = 0
    open: bool = False


class DiffRow(NamedTuple):
    """One row on the screen: the line of the old file and that of the new, None where a side has none.

    In one column both are the same for a line that both have, and one of them is None else. A heading is in `old`.
    """

    old: DiffRowLine | None
    new: DiffRowLine | None

    @property
    def is_heading(self) -> bool:
        return self.old is not None and self.old.mark == "@"

    @property
    def is_change(self) -> bool:
        """Whether its sides differ."""
        return not self.is_heading and (self.old is None or self.new is None or self.old.mark != " ")


class DiffBlock(NamedTuple):
    """A heading and the lines below it: `(mark, text, number in the old file, number in the new file, open)`."""

    heading: str
    lines: Sequence[tuple[str, str, int, int, bool]]


class DiffRows(NamedTuple):
    """`columns` is the length of the longest shown line, `starts` the first row of each group of changed rows."""

    rows: tuple[DiffRow, ...] = ()
    columns: int = 0
    starts: tuple[int, ...] = ()
    digits: int = 1


def rows_of(blocks: Iterable[DiffBlock], *, beside: bool) -> DiffRows:
    """Rows of one column, or of two with `beside`. It may take a second for a million lines: call it in a thread."""
    rows: list[DiffRow] = []
    for block in blocks:
        rows.append(DiffRow(DiffRowLine("@", block.heading), None))
        went: list[DiffRowLine] = []
        came: list[DiffRowLine] = []
        for mark, text, old, new, is_open in block.lines:
            if mark == "-":
                if came and beside:
                    _pair(rows, went, came)
                if beside:
                    went.append(DiffRowLine(mark, text, old, is_open))
                else:
                    rows.append(DiffRow(DiffRowLine(mark, text, old, is_open), None))
            elif mark == "+":
                if beside:
                    came.append(DiffRowLine(mark, text, new, is_open))
                else:
                    rows.append(DiffRow(None, DiffRowLine(mark, text, new, is_open)))
            else:
                _pair(rows, went, came)
                rows.append(DiffRow(DiffRowLine(mark, text, old, is_open), DiffRowLine(mark, text, new, is_open)))
        _pair(rows, went, came)
    return _measured(rows)


def shown(text: str) -> str:
    """A line as it is painted: tabs are spaces, and what is very long ends early."""
    text = text[: LONGEST_SHOWN + 1].removesuffix("\r").expandtabs(TAB)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def same_ends(first: str, second: str) -> tuple[int, int]:
    """How many characters two lines have in common at their beginning, and at their end behind that."""
    most = min(len(first), len(second))
    start = 0
    while start < most and first[start] == second[start]:
        start += 1
    end = 0
    while end < most - start and first[-1 - end] == second[-1 - end]:
        end += 1
    return start, end


def _pair(rows: list[DiffRow], went: list[DiffRowLine], came: list[DiffRowLine]) -> None:
    rows.extend(DiffRow(old, new) for old, new in zip_longest(went, came))
    went.clear()
    came.clear()


def _measured(rows: list[DiffRow]) -> DiffRows:
    columns = highest = 0
    starts = []
    former = False
    for place, row in enumerate(rows):
        for side in row:
            if side is not None and side.mark != "@":
                length = len(side.text)
                if length > columns:
                    columns = max(columns, len(shown(side.text)))
                highest = max(highest, side.number)
        changed = row.is_change
        if changed and not former:
            starts.append(place)
        former = changed
    return DiffRows(tuple(rows), columns, tuple(starts), len(str(highest)))
