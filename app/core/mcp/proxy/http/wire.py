"""What an answer looks like on the wire: RFC 9112 sections 4, 6 and 7."""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
# What says how the message is framed is this server's business.
FRAMING = frozenset({b"connection", b"content-length", b"keep-alive", b"transfer-encoding", b"upgrade"})
WITHOUT_BODY = frozenset({204, 304})


@lru_cache(maxsize=64)
def status_line(status: int) -> bytes:
    """The first line of an answer, with its end."""
    if not 200 <= status <= 599:
        raise ValueError(f"{status} is not the status of an answer")
    return f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n".encode("ascii")


def header_lines(headers: Iterable[tuple[bytes, bytes]], *, without: Container[bytes] = FRAMING) -> bytes:
    """The lines of these headers, `without` those that are set elsewhere. Raises `ValueError`."""
    lines = [b"%b: %b\r\n" % pair for pair in headers if pair[0] not in without]
    text = b"".join(lines)
    # One look at all of them: each line has one CR and one LF, its own.
    if text.count(b"\n") != len(lines) or text.count(b"\r") != len(lines) or b"\0" in text:
        raise ValueError("a header has a line break or a NUL in it")
    return text


class DateLine:
    """The header `date`, which is written anew each second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        second = int(time())
        if second != self._second:
            self._second = second
            self._line = f"date: {formatdate(second, usegmt=True)}\r\n".encode("ascii")
        return self._line


def refusal(status: int, text: str, date: bytes) -> bytes:
    """A whole answer in plain text that ends its connection."""
    body = f"{text}\n".encode()
    head = status_line(status) + date
    return (
        head
        + b"content-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\nconnection: close\r\n"
        + b"content-length: %d\r\n\r\n" % len(body)
        + body
    )
