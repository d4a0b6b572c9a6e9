"""The keys of the proxy's clients: 256 random bits as `bw_` and base64url. What is stored is their SHA-256.

A key is random, so its plain hash cannot be reversed by guessing, and finding it in a table by that hash tells nothing
by the time that it takes. `core/redaction.py` hides this shape wherever it appears.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from functools import lru_cache

PREFIX = "bw_"
KEY_BYTES = 32

_SHAPE = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


def new_key() -> str:
    """A key that nobody has."""
    return PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).rstrip(b"=").decode()


def is_key(text: str) -> bool:
    """Whether a text, of anybody and any length, could be a key."""
    return _SHAPE.fullmatch(text) is not None


# Keys repeat. The heads of requests, in which they stand, are kept as well (`http/heads.py`).
@lru_cache(maxsize=64)
def hash_of(key: str) -> str:
    """What is stored of a key: its SHA-256 in hexadecimal digits."""
    return hashlib.sha256(key.encode("ascii")).hexdigest()
