"""Challenges of a `WWW-Authenticate` header (RFC 9110 section 11.6.1), read as forgivingly as servers are careless.

A header may hold several challenges, each a scheme with parameters. What stands in quotes is text, whatever it looks
like. Reading takes time in proportion to the header's length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN = r"[\w!#$%&'*+.^`|~-]+"
INSIDE = r'(?:[^"\\]|\\.)*'
# A string without its closing quote takes the rest of the header: no character is ever looked at twice.
CLOSING = r'(?:"|\\?\Z)'
PART = re.compile(
    rf'(?P<comma>,)|(?P<name>{TOKEN})\s*=\s*(?:"(?P<quoted>{INSIDE}){CLOSING}|(?P<bare>[^\s,"]*))'
    rf'|(?P<word>{TOKEN})|"{INSIDE}{CLOSING}',
    re.ASCII | re.DOTALL,
)
ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One scheme and its parameters. Scheme and names are lower case, values have no quotes around them."""

    scheme: str
    parameters: Mapping[str, str]


def read_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges in the order of the header, or of several headers joined by commas.

    Parameters before any scheme are left out, and of two with the same name the first counts.
    """
    found: list[tuple[str, dict[str, str]]] = []
    scheme_may_follow = True
    for part in PART.finditer(header):
        if part["comma"]:
            scheme_may_follow = True
            continue
        if part["word"] and scheme_may_follow:
            found.append((part["word"].lower(), {}))
        elif part["name"] and found:
            quoted = part["quoted"]
            value = part["bare"] if quoted is None else ESCAPED.sub(r"\1", quoted)
            found[-1][1].setdefault(part["name"].lower(), value)
        scheme_may_follow = False
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)
