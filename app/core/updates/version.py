"""Versions as releases have them: three numbers, nothing else, so that there is only one order."""

from __future__ import annotations

import re
from typing import NamedTuple

# Bounded, because it comes from files of others. ASCII digits only: `\d` has those of every script.
PATTERN = re.compile(r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")


class Version(NamedTuple):
    """A version, compared by its numbers."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def parse_version(text: object) -> Version | None:
    """`text` as a version; None for anything but three numbers without leading zeros."""
    found = PATTERN.fullmatch(text) if isinstance(text, str) else None
    return None if found is None else Version(*map(int, found.groups()))


def numbers_of(text: str) -> tuple[int, ...]:
    """The numbers that the version of an operating system begins with: `10.0.19045` and `14.5` have two and three."""
    found = re.match(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,5}", text)
    return () if found is None else tuple(map(int, found[0].split(".")))
