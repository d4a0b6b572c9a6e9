"""The lines that differ between two versions of a file, as a unified diff shows them, in bounded time."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONTEXT = 3
# Comparing takes time in the product of both: 10 ms for this many lines each. Longer changes are shown as a whole.
MOST_COMPARED = 400


def diff_lines(old: str | None, new: str) -> Iterator[str]:
    """The lines with `+`, `-` or a blank before them; `@ 12` where the next ones begin at line 12 of the new file."""
    if old is None:
        yield from (f"+{line}" for line in new.splitlines())
        return
    before, after = old.splitlines(), new.splitlines()
    changes = list(_changes(before, after))
    last = 0
    for place, (first_old, last_old, first_new, last_new) in enumerate(changes):
        start = max(first_new - CONTEXT, last)
        if start > last:
            yield f"@ {start + 1}"
        yield from (f" {line}" for line in after[start:first_new])
        yield from (f"-{line}" for line in before[first_old:last_old])
        yield from (f"+{line}" for line in after[first_new:last_new])
        following = changes[place + 1][2] if place + 1 < len(changes) else len(after)
        last = min(last_new + CONTEXT, following)
        yield from (f" {line}" for line in after[last_new:last])


def _changes(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """The changed ranges of both, in order."""
    top = 0
    while top < min(len(before), len(after)) and before[top] == after[top]:
        top += 1
    end = 0
    while end < min(len(before), len(after)) - top and before[-1 - end] == after[-1 - end]:
        end += 1
    old, new = before[top : len(before) - end], after[top : len(after) - end]
    if not old and not new:
        return
    if max(len(old), len(new)) > MOST_COMPARED:
        yield top, top + len(old), top, top + len(new)
        return
    for kind, *places in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            first_old, last_old, first_new, last_new = places
            yield top + first_old, top + last_old, top + first_new, top + last_new
