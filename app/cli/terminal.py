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
from app.core.mcp.json_text import NotJson, write_json
from app.marks import FIRST_STRONG_ISOLATE, POP_ISOLATE, isolated, revealed, revealed_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# How deeply what is written as JSON may be nested. The encoder needs the interpreter's stack.
DEPTH = 500
ISOLATES = FIRST_STRONG_ISOLATE + POP_ISOLATE
# Control sequences (ECMA-48, 8.3.117) of the few styles there are.
STYLES = {"strong": "\x1b[1m", "faint": "\x1b[2m", "bad": "\x1b[31m", "good": "\x1b[32m", "note": "\x1b[33m"}
RESET = "\x1b[0m"
CLOSED = OSError(errno.EBADF, "it is closed")


class Output:
    """Standard output: what was written to it (`text`), and why it could not be, if it could not (`failure`).

    `keeps` says whether `text` is of use: a command that follows something writes without end.
    """

    def __init__(self) -> None:
        self.text = ""
        self.keeps = True
        self.failure: OSError | None = None

    def write(self, text: str) -> None:
        # Flushed at once: what was done has to be said, however the process ends after that.
        if self.keeps:
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
    """One line in which everything can be seen: a server's text must neither drive the terminal nor look like another.

    Right-to-left text is isolated, so that it does not reorder what stands beside it.
    """
    return isolated(revealed_name(" ".join(text.splitlines())))


def column(text: str, width: int) -> str:
    """`printable` text, padded to `width` columns. What is isolated takes no more of them."""
    shown = printable(text)
    return shown + " " * (width - len(shown.strip(ISOLATES)))


def line(text: str) -> None:
    """Write data."""
    output.write(f"{_harmless(text, sys.stdout)}\n")


def styled(parts: Sequence[tuple[str, str]]) -> None:
    """Write a line of data in parts of (text, style of `STYLES` or nothing). Only a terminal gets styles."""
    plain = not (_is_terminal(sys.stdout) and _shows_colour())
    shown = [(_harmless(text, sys.stdout), STYLES.get(style, "")) for text, style in parts]
    output.write("".join(text if plain or not code else f"{code}{text}{RESET}" for text, code in shown) + "\n")


def _shows_colour() -> bool:
    """Whether the terminal shows colour, and the user wants it (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def data(value: object) -> None:
    """Write data as JSON; everything unprintable in it is escaped, which reads back as the same value.

    What is no JSON value, such as a number that is not finite, is said instead.
    """
    encoding = "utf-8" if sys.stdout is None else sys.stdout.encoding
    plain = (encoding or "").lower().replace("-", "") != "utf8"
    try:
        text = write_json(value, indent=2 if _is_terminal(sys.stdout) else None, depth=DEPTH)
    except NotJson as problem:
        say(f"burrow: The output cannot be written as JSON: {problem.message}.")
        return
    if not text.isprintable() or (plain and not text.isascii()):
        text = "".join(c if c == "\n" or _is_plain(c, ascii_only=plain) else json.dumps(c)[1:-1] for c in text)
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


def _is_plain(character: str, *, ascii_only: bool) -> bool:
    return character.isprintable() and (character.isascii() or not ascii_only)


def _harmless(text: str, stream: TextIO | None) -> str:
    """On a terminal, what is invisible or drives it is shown as a mark. A file gets the text as it is."""
    return revealed(text) if _is_terminal(stream) else text
