"""The challenges of a `WWW-Authenticate` header (RFC 9110 section 11.6.1), read leniently.

A header may have several challenges, each a scheme with parameters. Quoted text is text, whatever it looks like. The
time to read a header is linear in its length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN = r"[\w!#$%&'*+.^`|~-]+"
QUOTED_TEXT = r'(?:[^"\\]|\\.)*'
# A string without a closing quote ends with the header. Backtracking to a shorter string would take quadratic time.
CLOSING = r'(?:"|\\?\Z)'
PART = re.compile(
    rf'(?P<comma>,)|(?P<name>{TOKEN})\s*=\s*(?:"(?P<quoted>{QUOTED_TEXT}){CLOSING}|(?P<bare>[^\s,"]*))'
    rf'|(?P<word>{TOKEN})|"{QUOTED_TEXT}{CLOSING}',
    re.ASCII | re.DOTALL,
)
ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One scheme and its parameters. Scheme and names are lower case, values unquoted."""

    scheme: str
    parameters: Mapping[str, str]


def read_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of one header, or of several headers joined by commas, in their order.

    Parameters before the first scheme are left out. Of parameters with the same name the first counts.
    """
    found: list[tuple[str, dict[str, str]]] = []
    # A comma separates parameters as well as challenges. A bare word after one is a scheme; elsewhere it is a token68
    # or garbage.
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
