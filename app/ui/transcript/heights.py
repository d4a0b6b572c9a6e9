"""Where each of many items of different heights lies: a Fenwick tree (Fenwick 1994, "A new data structure for
cumulative frequency tables").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Heights:
    """Heights in pixels, whole and not negative. Each call takes time in the logarithm of their number."""

    def __init__(self) -> None:
        self._heights: list[int] = []
        # The sum of `lowest set bit of n` heights up to the n-th; counted from 1.
        self._sums: list[int] = [0]

    def __len__(self) -> int:
        return len(self._heights)

    def __getitem__(self, place: int) -> int:
        return self._heights[place]

    @property
    def total(self) -> int:
        """The height of all."""
        return self.top(len(self._heights))

    def clear(self) -> None:
        """Forget all."""
        self._heights.clear()
        del self._sums[1:]

    def cut(self, length: int) -> None:
        """Forget those from a place on."""
        del self._heights[length:]
        del self._sums[length + 1 :]

    def fill(self, count: int, height: int) -> None:
        """Have `count` items of one height, and no others."""
        self._heights = [height] * count
        self._sums = [height * (number & -number) for number in range(count + 1)]

    def extend(self, heights: Iterable[int]) -> None:
        """Add items at the end."""
        own, sums = self._heights, self._sums
        for height in heights:
            own.append(height)
            number = len(own)
            total, part, low = height, number - 1, number & -number
            # The sums of the smaller ranges that this one consists of.
            while low > 1:
                total += sums[part]
                step = part & -part
                part -= step
                low -= step
            sums.append(total)

    def set(self, place: int, height: int) -> None:
        """Change the height of an item."""
        difference = height - self._heights[place]
        if not difference:
            return
        self._heights[place] = height
        number, sums = place + 1, self._sums
        while number < len(sums):
            sums[number] += difference
            number += number & -number

    def top(self, place: int) -> int:
        """Where an item begins; for the number of items, where the last one ends."""
        total, number, sums = 0, place, self._sums
        while number:
            total += sums[number]
            number &= number - 1
        return total

    def at(self, y: int) -> int:
        """The item at a height from the top: the last one that begins at or above it and is not empty.

        Above the first it is the first, below the last the last; -1 without items.
        """
        count, sums = len(self._heights), self._sums
        place, rest = 0, max(0, y)
        step = 1 << count.bit_length()
        while step:
            after = place + step
            if after <= count and sums[after] <= rest:
                place = after
                rest -= sums[after]
            step >>= 1
        return min(place, count - 1)
