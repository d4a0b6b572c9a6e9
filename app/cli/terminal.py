"""What the command line writes: data to standard output, words to standard error, nothing that drives a terminal."""

from __future__ import annotations

import json
import sys
from typing import TextIO


def printable(text: str) -> str:
    """One line without control characters: a server's text must not drive the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def line(text: str) -> None:
    """Write data."""
    sys.stdout.write(f"{_harmless(text, sys.stdout)}\n")


def data(value: object) -> None:
    """Write data as JSON; everything unprintable in it is escaped, which reads back as the same value."""
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    text = json.dumps(value, ensure_ascii=plain, indent=2 if sys.stdout.isatty() else None)
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    """Write words for the person."""
    sys.stderr.write(f"{_harmless(text, sys.stderr)}\n")
    sys.stderr.flush()


def _harmless(text: str, stream: TextIO) -> str:
    """On a terminal, control characters other than line ends and tabs are shown, not obeyed."""
    if not stream.isatty():
        return text
    return "".join(character if character.isprintable() or character in "\n\t" else "�" for character in text)
