"""Masks credentials in what an agent says, before it is shown or stored.

Source code stays as it is: only headers, credentials in addresses, known shapes of secrets and what this process keeps
secret are masked in texts, and values that are secret by their name in the arguments and results of tools.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from app.core.redaction import REDACTED, mask_credentials, names_secret
from app.core.runs.long_texts import mask_long

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEPTH = 64
# Characters.
LARGE = 64 * 1024
# Names of the protocol that look like those of secrets.
_PROTOCOL = frozenset({"sessionId", "session_id"})
# A word that is longer is shown in parts.
LONGEST_WORD = 2_000
_LAST_WORDS = re.compile(
    r"(?:(?:bearer|basic|dpop|(?:proxy-)?authorization:|(?:set-)?cookie:)\s+)*\S*\Z", re.IGNORECASE
)


def masked(value: object, depth: int = 0) -> object:
    """A copy of a JSON value without credentials."""
    if isinstance(value, str):
        return mask_long(value)
    if depth >= MAX_DEPTH or not isinstance(value, (dict, list, tuple)):
        return value if not isinstance(value, (dict, list, tuple)) else "…"
    if isinstance(value, (list, tuple)):
        return [masked(each, depth + 1) for each in value]
    header = value.get("name")
    pair = isinstance(header, str) and isinstance(value.get("value"), str) and names_secret(header)
    return {
        mask_credentials(name): REDACTED
        if isinstance(each, str) and ((pair and name == "value") or (names_secret(name) and name not in _PROTOCOL))
        else masked(each, depth + 1)
        for name, each in value.items()
    }


def is_large(value: object) -> bool:
    """Whether masking takes so long that it belongs in a thread."""
    left = LARGE
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            left -= len(each)
            if left < 0:
                return True
        elif isinstance(each, dict):
            todo.extend(each.values())
        elif isinstance(each, (list, tuple)):
            todo.extend(each)
    return False


def masked_message(message: Mapping[str, object]) -> dict[str, object]:
    """As `masked`, for a message of JSON-RPC."""
    return {name: masked(each) for name, each in message.items()}


class MaskedStream:
    """Masks a text that comes in parts: a word that is not complete may be the beginning of a secret, and waits."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """What may be shown by now."""
        self._held += text
        found = _LAST_WORDS.search(self._held, max(0, len(self._held) - LONGEST_WORD))
        cut = found.start() if found is not None else len(self._held)
        if cut == 0 and len(self._held) > LONGEST_WORD:
            cut = len(self._held)
        shown, self._held = self._held[:cut], self._held[cut:]
        return mask_long(shown)

    def flush(self) -> str:
        """The rest."""
        rest, self._held = self._held, ""
        return mask_long(rest)
