"""One secret in several items of a keyring that limits the size of an item (faults row 64).

Windows' Credential Manager accepts 2,560 bytes an item and stores text as UTF-16, which makes 1,280 code units. Beyond
that it fails with error 1783. A longer secret is split into chunks. The item with the secret's name is then an index
that says where the chunks are.
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

MAX_CHUNKS = 64
# Windows accepts 513 code units as the name of an item's user (CRED_MAX_USERNAME_LENGTH), where keyring keeps a name.
# A chunk's name is up to four longer than the secret's.
LONGEST_NAME = 500
# Two sets of item names. A new secret is written under the one that the stored secret does not use.
TAGS = ("a", "b")
# The member that tells an index from a secret. It is stored.
MARKER = "burrow-parts"


class ChunkIndex:
    """The index of a secret: the tag and number of its chunks, and a digest of the whole."""

    def __init__(self, tag: str, chunks: int, digest: str) -> None:
        self.tag, self.chunks, self.digest = tag, chunks, digest

    @staticmethod
    def of(text: str | None) -> ChunkIndex | None:
        """The index in an item; None when the item is a whole secret or missing."""
        if text is None or MARKER not in text:
            return None
        try:
            record = json.loads(text)
            tag, chunks, digest = record[MARKER], int(record["parts"]), str(record["digest"])
        except (ValueError, KeyError, TypeError):
            return None
        return ChunkIndex(tag, chunks, digest) if tag in TAGS and 0 < chunks <= MAX_CHUNKS else None

    def text(self) -> str:
        """The content of the item."""
        return json.dumps({MARKER: self.tag, "parts": self.chunks, "digest": self.digest})

    def names(self, name: str) -> Iterator[str]:
        """The names of the chunks' items, in order."""
        return (f"{name}#{self.tag}{number}" for number in range(self.chunks))


class ChunkedItems:
    """Secrets of one service in a keyring whose items hold `limit` UTF-16 code units.

    Blocks, and raises what the backend raises.
    """

    def __init__(self, keyring: KeyringBackend, service: str, limit: int) -> None:
        self._keyring = keyring
        self._service = service
        self._limit = limit

    def get(self, name: str) -> str | None:
        """The whole secret. Raises `VaultFailure` (damaged) when chunks are missing or do not belong together."""
        name = item_name(name)
        text = self._keyring.get_password(self._service, name)
        index = ChunkIndex.of(text)
        if index is None:
            return text
        chunks = [self._keyring.get_password(self._service, chunk) for chunk in index.names(name)]
        secret = "".join(chunk for chunk in chunks if chunk is not None)
        # Another process may replace chunks while this one reads them, hence the digest.
        if None in chunks or _digest(secret) != index.digest:
            raise VaultFailure(VaultState.DAMAGED, "The stored sign-in is incomplete.")
        return secret

    def set(self, name: str, secret: str) -> None:
        """Store `secret`, in chunks if one item cannot hold it."""
        name = item_name(name)
        former = ChunkIndex.of(self._keyring.get_password(self._service, name))
        chunks = list(split_utf16(secret, self._limit))
        # A short secret with the marker in it is stored as one chunk, or it would be taken for an index.
        if len(chunks) == 1 and MARKER not in secret:
            self._keyring.set_password(self._service, name, secret)
        else:
            # The order makes each step safe to die after. New chunks go beside the former ones, which stay readable
            # until the index is replaced. Writing the index is the commit. Chunks that are left over are deleted last.
            tag = TAGS[former is not None and former.tag == TAGS[0]]
            index = ChunkIndex(tag, len(chunks), _digest(secret))
            for item, chunk in zip(index.names(name), chunks, strict=True):
                self._keyring.set_password(self._service, item, chunk)
            self._keyring.set_password(self._service, name, index.text())
        self._delete_chunks(name, former)

    def delete(self, name: str) -> None:
        """Delete every item of a secret, if there is one."""
        name = item_name(name)
        # The index last: without it nobody would know the names of chunks that are left over.
        self._delete_chunks(name, ChunkIndex.of(self._keyring.get_password(self._service, name)))
        self._delete(name)

    def _delete_chunks(self, name: str, index: ChunkIndex | None) -> None:
        for item in index.names(name) if index is not None else ():
            self._delete(item)

    def _delete(self, name: str) -> None:
        from keyring.errors import PasswordDeleteError

        with contextlib.suppress(PasswordDeleteError):
            self._keyring.delete_password(self._service, name)


def item_name(name: str) -> str:
    """`name`, or for a longer one than Windows takes its beginning and a digest of the whole."""
    units = name.encode("utf-16-le", "surrogatepass")
    if len(units) <= LONGEST_NAME * 2:
        return name
    (beginning, *_) = split_utf16(name, LONGEST_NAME - 33)
    return f"{beginning}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def split_utf16(text: str, limit: int) -> Iterator[str]:
    """`text` in chunks of at most `limit` UTF-16 code units, never cut inside a character; at least one chunk."""
    units = text.encode("utf-16-le", "surrogatepass")
    start, size = 0, limit * 2
    while True:
        end = min(start + size, len(units))
        # A high surrogate at the end belongs to the low one after it. The byte is the high one of a little-endian unit.
        if end < len(units) and 0xD8 <= units[end - 1] <= 0xDB:
            end -= 2
        yield units[start:end].decode("utf-16-le", "surrogatepass")
        start = end
        if start >= len(units):
            return


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()[:16]
