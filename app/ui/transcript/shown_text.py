"""Text of agents and programs made safe to lay out: bounded, without escapes, with marks for what is hidden."""

from __future__ import annotations

import re
from typing import NamedTuple

from app.marks import revealed, revealed_name

# Control sequences of terminals (ECMA-48 5.4, 5.6): CSI, strings such as OSC with their end, and two-byte escapes.
_ESCAPES = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]|\x1b[PX^_\\]][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]"
)
# What a program writes over itself: all before the last carriage return of a line, and characters taken back.
_OVERWRITTEN = re.compile("^.*\r(?!\n|$)", re.MULTILINE)
_TAKEN_BACK = re.compile("[^\n\x08]\x08")
# Marks that stand above and below a letter. Writing needs a few of them.
_MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_STACKS = re.compile(f"([{_MARKS}]{{4}})[{_MARKS}]+")
# A line that is laid out takes time in the square of its length, from about here on.
LONGEST_LINE = 4_000
_LONG = re.compile(f"[^\n]{{{LONGEST_LINE}}}(?=[^\n])")
ONE_LINE = 300


class TextExtract(NamedTuple):
    """A part of a text. `left_out`: characters that it lacks."""

    text: str
    left_out: int = 0


def beginning_of(text: str, characters: int, lines: int) -> TextExtract:
    """The beginning of a text, in whole lines where it has some."""
    end = min(len(text), characters)
    at = -1
    for _ in range(lines):
        at = text.find("\n", at + 1, end)
        if at < 0:
            break
    if at >= 0:
        end = at
    elif end < len(text):
        end = max(text.rfind("\n", 0, end), 0) or end
    return TextExtract(text[:end], len(text) - end)


def end_of(text: str, characters: int, lines: int) -> TextExtract:
    """The end of a text, in whole lines where it has some. The errors of a program stand there."""
    text_end = len(text.rstrip("\n"))
    first = max(0, text_end - characters)
    at = text_end
    for _ in range(lines):
        at = text.rfind("\n", first, at)
        if at < 0:
            break
    start = at + 1 if at >= 0 else first
    if at < 0 and first:
        start = text.find("\n", first, text_end) + 1 or first
    return TextExtract(text[start:text_end], start)


def plain(text: str) -> str:
    """Text of several lines as it is laid out."""
    return _LONG.sub(lambda found: found[0] + "\n", _STACKS.sub(r"\1", revealed(text)))


def of_terminal(text: str) -> str:
    """What a program wrote to its terminal, as it would stand there: escapes are not interpreted but left out."""
    text = _ESCAPES.sub("", text)
    if "\x08" in text:
        text = _TAKEN_BACK.sub("", text)
    if "\r" in text:
        text = _OVERWRITTEN.sub("", text).replace("\r\n", "\n").replace("\r", "")
    return plain(text)


def one_line(text: str, characters: int = ONE_LINE) -> str:
    """The first line that is not empty, as a name."""
    start = text[: characters * 4].lstrip()
    line = start.partition("\n")[0]
    shown = _STACKS.sub(r"\1", revealed_name(line[:characters].rstrip()))
    return f"{shown}…" if len(line) > characters else shown
