"""What the command line reads and writes: data to standard output, words to standard error.

Nothing that is written drives a terminal. No write raises: what a command did counts, not whether it could be shown.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from typing import TYPE_CHECKING, TextIO

from app.core.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable

CLOSED = OSError(errno.EBADF, "it is closed")


class Output:
    """Standard output: what was written to it (`text`), and why it could not be, if it could not (`failure`)."""

    def __init__(self) -> None:
        self.text = ""
        self.failure: OSError | None = None

    def write(self, text: str) -> None:
        # Flushed at once: what was done has to be said, however the process ends after that.
        self.text += text
        if self.failure is None:
            self.failure = _write(sys.stdout, text)
            if self.failure is not None:
                _discard_rest(sys.stdout)


output = Output()
"""That of this process."""


def prepare() -> None:
    """Let no character that the terminal cannot show end the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def printable(text: str) -> str:
    """One line without control characters: a server's text must not drive the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def line(text: str) -> None:
    """Write data."""
    output.write(f"{_harmless(text, sys.stdout)}\n")


def data(value: object) -> None:
    """Write data as JSON; everything unprintable in it is escaped, which reads back as the same value."""
    encoding = "utf-8" if sys.stdout is None else sys.stdout.encoding
    plain = (encoding or "").lower().replace("-", "") != "utf8"
    text = json.dumps(value, ensure_ascii=plain, indent=2 if _is_terminal(sys.stdout) else None)
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    output.write(f"{text}\n")


def say(text: str) -> None:
    """Write words for the user."""
    if _write(sys.stderr, f"{_harmless(text, sys.stderr)}\n") is not None:
        _discard_rest(sys.stderr)


def read_text() -> str:
    """Everything from standard input. Raises `Rejected`."""
    return _read(lambda stream: stream.read())


def read_line() -> str:
    """A line from standard input, without its end. Raises `Rejected`."""
    return _read(lambda stream: stream.readline()).rstrip("\n")


def _read(read: Callable[[TextIO], str]) -> str:
    if sys.stdin is None:
        raise Rejected("Standard input is closed.", action="Give the text itself, or a pipe.")
    try:
        return read(sys.stdin)
    except UnicodeDecodeError:
        raise Rejected(f"Standard input is not {sys.stdin.encoding}.", action="Give it in that encoding.") from None
    except OSError as failure:
        raise Rejected(f"Standard input cannot be read: {failure.strerror or failure}.") from None


def _write(stream: TextIO | None, text: str) -> OSError | None:
    """The reason why it could not be written."""
    if stream is None:
        return CLOSED
    try:
        stream.write(text)
        stream.flush()
    except OSError as failure:
        return failure
    except ValueError:
        return CLOSED
    return None


def _discard_rest(stream: TextIO | None) -> None:
    """Let Python's flush at exit succeed; it would complain once more, and replace the exit code."""
    try:
        if stream is not None:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
    except (OSError, ValueError):
        return


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _harmless(text: str, stream: TextIO | None) -> str:
    """On a terminal, control characters other than line ends and tabs are shown, not obeyed."""
    if not _is_terminal(stream):
        return text
    return "".join(character if character.isprintable() or character in "\n\t" else "�" for character in text)
