"""One secret over several items of a keyring that bounds an item's size (faults row 64).

Windows' Credential Manager takes 2,560 bytes an item, which it stores as UTF-16: 1,280 code units; beyond that it
answers error 1783. The named item then holds a head that says where the parts are. Parts are written under the one of
two tags that is not in use and the head last, so that a write cut off in the middle leaves the former secret readable.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING

from app.core.auth.vault.base import VaultFailure, VaultState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyring.backend import KeyringBackend

MOST_PARTS = 64
TAGS = ("a", "b")
HEAD = "burrow-parts"


class PartsHead:
    """What the named item says about its parts."""

    def __init__(self, tag: str, parts: int, digest: str) -> None:
        self.tag, self.parts, self.digest = tag, parts, digest

    @staticmethod
    def of(text: str | None) -> PartsHead | None:
        """The head in an item; None when the item is a whole secret, or there is none."""
        if text is None or HEAD not in text:
            return None
        try:
            record = json.loads(text)
            tag, parts, digest = record[HEAD], int(record["parts"]), str(record["digest"])
        except (ValueError, KeyError, TypeError):
            return None
        return PartsHead(tag, parts, digest) if tag in TAGS and 0 < parts <= MOST_PARTS else None

    def text(self) -> str:
        return json.dumps({HEAD: self.tag, "parts": self.parts, "digest": self.digest})

    def names(self, name: str) -> Iterator[str]:
        """The items of the parts, in order."""
        return (f"{name}#{self.tag}{number}" for number in range(self.parts))


class ChunkedItems:
    """Secrets of one service in a keyring whose items hold `limit` UTF-16 code units. Raises what the backend does."""

    def __init__(self, keyring: KeyringBackend, service: str, limit: int) -> None:
        self._keyring = keyring
        self._service = service
        self._limit = limit

    def get(self, name: str) -> str | None:
        """The whole secret. Raises `VaultFailure` (damaged) when parts are missing or torn."""
        text = self._keyring.get_password(self._service, name)
        head = PartsHead.of(text)
        if head is None:
            return text
        parts = [self._keyring.get_password(self._service, part) for part in head.names(name)]
        secret = "".join(part for part in parts if part is not None)
        if None in parts or _digest(secret) != head.digest:
            raise VaultFailure(VaultState.DAMAGED, "The stored sign-in is incomplete.")
        return secret

    def set(self, name: str, secret: str) -> None:
        """Keep `secret`, in parts where one item does not hold it."""
        former = PartsHead.of(self._keyring.get_password(self._service, name))
        pieces = list(pieces_of(secret, self._limit))
        if len(pieces) == 1 and HEAD not in secret:
            self._keyring.set_password(self._service, name, secret)
        else:
            tag = TAGS[former is not None and former.tag == TAGS[0]]
            head = PartsHead(tag, len(pieces), _digest(secret))
            for part, piece in zip(head.names(name), pieces, strict=True):
                self._keyring.set_password(self._service, part, piece)
            self._keyring.set_password(self._service, name, head.text())
        self._delete_parts(name, former)

    def delete(self, name: str) -> None:
        """Remove every item of a secret; nothing happens when there is none."""
        self._delete_parts(name, PartsHead.of(self._keyring.get_password(self._service, name)))
        self._delete(name)

    def _delete_parts(self, name: str, head: PartsHead | None) -> None:
        for part in head.names(name) if head is not None else ():
            self._delete(part)

    def _delete(self, name: str) -> None:
        from keyring.errors import PasswordDeleteError

        with contextlib.suppress(PasswordDeleteError):
            self._keyring.delete_password(self._service, name)


def pieces_of(text: str, limit: int) -> Iterator[str]:
    """`text` in pieces of at most `limit` UTF-16 code units, never cut inside a character; at least one piece."""
    units = text.encode("utf-16-le", "surrogatepass")
    start, size = 0, limit * 2
    while True:
        end = min(start + size, len(units))
        # A high surrogate at the end belongs with the low one after it.
        if end < len(units) and 0xD8 <= units[end - 1] <= 0xDB:
            end -= 2
        yield units[start:end].decode("utf-16-le", "surrogatepass")
        start = end
        if start >= len(units):
            return


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()[:16]
