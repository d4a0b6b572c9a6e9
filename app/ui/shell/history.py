"""Where the person has been: back and forward, as in a browser."""

from __future__ import annotations

LIMIT = 100

Stop = tuple[str, str | None]


class History:
    """Stops are (place, item). Visiting one after going back forgets what lay ahead."""

    def __init__(self) -> None:
        self._stops: list[Stop] = []
        self._here = -1

    def visit(self, place: str, item: str | None) -> None:
        """Note where the person is now; the same stop twice counts once."""
        stop = (place, item)
        if self._here >= 0 and self._stops[self._here] == stop:
            return
        del self._stops[self._here + 1 :]
        self._stops.append(stop)
        del self._stops[:-LIMIT]
        self._here = len(self._stops) - 1

    def back(self) -> Stop | None:
        """The stop before, if there is one."""
        return self._move(-1)

    def forward(self) -> Stop | None:
        """The stop gone back from, if there is one."""
        return self._move(1)

    def _move(self, step: int) -> Stop | None:
        if not 0 <= self._here + step < len(self._stops):
            return None
        self._here += step
        return self._stops[self._here]
