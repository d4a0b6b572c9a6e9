"""LastLines: the end of what a process writes to standard error, within a bound."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

LINES = 20
LINE_CHARACTERS = 400
READ_BYTES = 16 * 1024


class LastLines:
    """The last 20 lines, each at most 400 characters. Reading also keeps the process from blocking on a full pipe."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=LINES)

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Read `stream` to its end."""
        # A line that never ends must not take memory, so its start is enough.
        line = bytearray()
        while chunk := await stream.read(READ_BYTES):
            *whole, rest = chunk.split(b"\n")
            for part in whole:
                line += part[: 4 * LINE_CHARACTERS]
                self._keep(line)
                line.clear()
            line += rest[: max(0, 4 * LINE_CHARACTERS - len(line))]
        self._keep(line)

    def _keep(self, line: bytearray) -> None:
        text = line.decode("utf-8", "replace").strip()[:LINE_CHARACTERS]
        if text:
            self._lines.append(text)
